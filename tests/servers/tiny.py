"""A language model that knows nothing: random weights, and a tokenizer trained on our own documentation.

Run by the interpreter whose server is to load it: ``python tiny.py transformers FOLDER`` or ``python tiny.py gguf FILE``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

VOCABULARY, WIDTH, LAYERS, HEADS, CONTEXT = 600, 64, 2, 4, 4096
MARKS = ["<s>", "</s>", "<|user|>", "<|assistant|>", "<|system|>"]
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% if not loop.last or add_generation_prompt %}</s>"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    one = Tokenizer(models.BPE())
    one.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    one.decoder = decoders.ByteLevel()
    # ASCII alone: a model of random weights would write half characters, for whose other half a server waits.
    written = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(bytes([10, *range(32, 127)]).decode())
    alphabet = sorted({letter for piece, _ in written for letter in piece})
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=MARKS, initial_alphabet=alphabet)
    pages = sorted((Path(__file__).parents[2] / "docs").glob("*.md"))
    one.train_from_iterator((page.read_bytes().decode("ascii", "ignore") for page in pages), trainer)
    return one


def for_transformers(folder: Path) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer(), bos_token="<s>", eos_token="</s>", pad_token="</s>", chat_template=TEMPLATE
    )
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(wrapped), hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, max_position_embeddings=CONTEXT, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    wrapped.save_pretrained(folder)
    LlamaForCausalLM(config).save_pretrained(folder)


def for_llama_cpp(file: Path) -> None:
    import gguf
    import numpy as np

    made = json.loads(tokenizer().to_str())["model"]
    words = sorted(made["vocab"], key=made["vocab"].get)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in made["merges"]]
    writer = gguf.GGUFWriter(str(file), "llama")
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(2 * WIDTH)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(words))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(words)
    kinds = gguf.TokenType
    writer.add_token_types([kinds.CONTROL if word in MARKS else kinds.NORMAL for word in words])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_chat_template(TEMPLATE)
    chance = np.random.default_rng(1)

    def tensor(name: str, *shape: int) -> None:
        drawn = chance.normal(0, 0.05, shape) if len(shape) > 1 else np.ones(shape)
        writer.add_tensor(name, drawn.astype(np.float32))

    tensor("token_embd.weight", len(words), WIDTH)
    for layer in range(LAYERS):
        for name in ("attn_norm", "ffn_norm"):
            tensor(f"blk.{layer}.{name}.weight", WIDTH)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensor(f"blk.{layer}.{name}.weight", WIDTH, WIDTH)
        for name in ("ffn_gate", "ffn_up"):
            tensor(f"blk.{layer}.{name}.weight", 2 * WIDTH, WIDTH)
        tensor(f"blk.{layer}.ffn_down.weight", WIDTH, 2 * WIDTH)
    tensor("output_norm.weight", WIDTH)
    tensor("output.weight", len(words), WIDTH)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    {"transformers": for_transformers, "gguf": for_llama_cpp}[sys.argv[1]](Path(sys.argv[2]))
