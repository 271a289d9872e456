"""What ``otel-embed doctor`` looks at, one file a subject. Each gives findings, and prints nothing."""
