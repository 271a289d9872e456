"""What embedding pipelines cost and where their time goes, with OpenTelemetry."""
__version__ = "0.1.0"
