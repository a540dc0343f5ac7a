"""Creates this folder: two small Llama models from Hugging Face's `transformers`, and their results.

    python3 -m venv venv && venv/bin/pip install torch==2.11.0 transformers==5.23.0 safetensors numpy
    OMP_NUM_THREADS=1 venv/bin/python make.py

Each case is a checkpoint written by `save_pretrained`, and `expected.safetensors`: tokens, logits, loss, all
gradients, and all parameters after three steps of torch's own AdamW with clipping (norms are not decayed).

If the argument is a checkpoint folder, prints the logits of that checkpoint's model for tokens 1 2 3.
"""

import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

HERE = pathlib.Path(__file__).parent
CASES = {
    # Grouped queries, a separate output matrix, two files.
    "grouped": dict(
        vocab_size=64, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, rope_theta=10000.0, rms_norm_eps=1e-5, max_position_embeddings=64,
        tie_word_embeddings=False,
    ),
    # One key per query, the output matrix tied to the embedding, heads wider than hidden / heads.
    "tied": dict(
        vocab_size=56, hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, head_dim=16, rope_theta=500000.0, rms_norm_eps=1e-6, max_position_embeddings=64,
        tie_word_embeddings=True,
    ),
}


def make(name, config):
    torch.manual_seed(7)
    model = LlamaForCausalLM(LlamaConfig(**config)).float()
    with torch.no_grad():
        for parameter in model.parameters():  # Larger than usual, so that every part shows in the logits.
            parameter.copy_(torch.randn_like(parameter) * 0.3 + (1.0 if parameter.dim() == 1 else 0.0))
    folder = HERE / name
    model.save_pretrained(folder, max_shard_size="50KB")
    (folder / "generation_config.json").unlink(missing_ok=True)

    tokens = torch.randint(0, config["vocab_size"], (2, 13))
    output = model(tokens, labels=tokens)
    output.loss.backward()
    expected = {"tokens": tokens, "logits": output.logits.detach(), "loss": output.loss.detach().reshape(1)}
    for key, parameter in model.named_parameters():
        expected[f"gradient.{key}"] = parameter.grad.clone()

    decayed = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    norms = [dict(params=[parameter for parameter in model.parameters() if parameter.dim() == 1], weight_decay=0.0)]
    optimizer = torch.optim.AdamW(
        [dict(params=decayed)] + norms, lr=1e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1
    )
    for _ in range(3):
        optimizer.zero_grad()
        model(tokens, labels=tokens).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    for key, parameter in model.named_parameters():
        expected[f"trained.{key}"] = parameter.detach().clone()
    save_file({key: value.contiguous() for key, value in expected.items()}, folder / "expected.safetensors")


if len(sys.argv) > 1:
    loaded, report = LlamaForCausalLM.from_pretrained(sys.argv[1], output_loading_info=True)
    print(report, file=sys.stderr)
    print(*loaded.float()(torch.tensor([[1, 2, 3]])).logits[0, -1].tolist())
else:
    for case in CASES.items():
        make(*case)
