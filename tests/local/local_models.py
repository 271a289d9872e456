"""Tiny real models on disk, with random weights: no hub can be reached from a test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WORDS = ["the", "a", "cat", "dog", "sat", "on", "mat", "red", "blue", "green", "one", "two", "three", "four", "five"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
DIMENSIONS, LONGEST = 16, 12
"""Of the vectors; and the tokens that a model takes, two of them its own marks."""


def tokens(text: str) -> int:
    """What the tiny tokenizer makes of a text of words: each word, and a mark before and after."""
    return min(len(text.split()) + 2, LONGEST)


def transformer(folder: Path) -> str:
    """A BERT with its tokenizer, as transformers saves them."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=DIMENSIONS,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=LONGEST,
    )
    BertModel(config).eval().save_pretrained(folder)
    word_piece(folder / "tokenizer.json")
    file = str(folder / "tokenizer.json")
    tokenizer = BertTokenizerFast(tokenizer_file=file, model_max_length=LONGEST, clean_up_tokenization_spaces=True)
    tokenizer.save_pretrained(folder)
    return str(folder)


def word_piece(file: Path) -> None:
    """The tokenizer of that BERT alone."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordPiece({word: n for n, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(file))


def sentence_transformer(folder: Path, include_prompt: bool = True) -> str:
    """That BERT with mean pooling and normalizing, in the form that every line of sentence-transformers reads."""
    transformer(folder)
    kinds = ["Transformer", "Pooling", "Normalize"]
    modules = [
        {"idx": n, "name": str(n), "path": f"{n}_{kind}" if n else "", "type": f"sentence_transformers.models.{kind}"}
        for n, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": LONGEST, "do_lower_case": False}))
    prompts = {"query": "the red", "document": ""}
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": prompts}))
    (folder / "1_Pooling").mkdir()
    pooling = {
        "word_embedding_dimension": DIMENSIONS,
        "pooling_mode_mean_tokens": True,
        "pooling_mode_cls_token": False,
        "include_prompt": include_prompt,
    }
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (folder / "2_Normalize").mkdir()
    return str(folder)


def onnx(folder: Path) -> str:
    """A model that looks a vector up for each token, as fastembed reads it."""
    import numpy as np
    from onnx import TensorProto, checker, helper, numpy_helper, save

    folder.mkdir(parents=True)
    table = np.random.default_rng(1).normal(size=(len(VOCABULARY), DIMENSIONS)).astype(np.float32)
    names = ["input_ids", "attention_mask"]
    given = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in names]
    made = [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch", "length", DIMENSIONS])]
    look_up = helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])
    graph = helper.make_graph([look_up], "tiny", given, made, [numpy_helper.from_array(table, "table")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    checker.check_model(model)
    save(model, str(folder / "model.onnx"))
    word_piece(folder / "tokenizer.json")
    (folder / "config.json").write_text(json.dumps({"pad_token_id": 0}))
    settings = {"model_max_length": LONGEST, "pad_token": "[PAD]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "special_tokens_map.json").write_text(json.dumps({"pad_token": "[PAD]"}))
    return str(folder)


def told(span: Any) -> dict[str, Any]:
    """The attributes but for the stages, of which a load has none."""
    return {name: value for name, value in span.attributes.items() if ".stage." not in name}


def gguf(file: Path) -> str:
    """A BERT of one layer as llama.cpp reads it."""
    import numpy as np
    from gguf import GGUFWriter, PoolingType, TokenType

    writer = GGUFWriter(str(file), "bert")
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(64)
    writer.add_block_count(1)
    writer.add_head_count(2)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(PoolingType.MEAN)
    writer.add_tokenizer_model("bert")
    marks = {"[UNK]": TokenType.UNKNOWN}
    words = [word if word.startswith("[") else f"\u2581{word}" for word in VOCABULARY]
    kinds = [marks.get(word, TokenType.CONTROL if word.startswith("[") else TokenType.NORMAL) for word in words]
    writer.add_token_list(words)
    writer.add_token_types(kinds)
    writer.add_token_type_count(2)
    for add, word in (
        (writer.add_pad_token_id, "[PAD]"), (writer.add_unk_token_id, "[UNK]"),
        (writer.add_bos_token_id, "[CLS]"), (writer.add_sep_token_id, "[SEP]"), (writer.add_eos_token_id, "[SEP]"),
        (writer.add_mask_token_id, "[MASK]"),
    ):  # fmt: skip
        add(VOCABULARY.index(word))
    generator = np.random.default_rng(1)
    shapes = {"token_embd": (len(VOCABULARY), 32), "position_embd": (64, 32), "token_types": (2, 32)}
    for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
        shapes[f"blk.0.{part}"] = (32, 32)
    shapes |= {"blk.0.ffn_up": (64, 32), "blk.0.ffn_down": (32, 64)}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", generator.normal(scale=0.1, size=shape).astype(np.float32))
        if name.startswith("blk"):
            writer.add_tensor(f"{name}.bias", np.zeros(shape[0], np.float32))
    for name in ("token_embd_norm", "blk.0.attn_output_norm", "blk.0.layer_output_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(32, np.float32))
        writer.add_tensor(f"{name}.bias", np.zeros(32, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return str(file)
