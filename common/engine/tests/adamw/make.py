"""Creates `expected.safetensors`: steps of torch's own fused AdamW, with clipped gradients.

    python3 -m venv venv && venv/bin/pip install torch==2.11.0 safetensors numpy
    OMP_NUM_THREADS=1 venv/bin/python make.py

The file has two tensors, `decayed` and `plain`: their values before the first step and after each step, the
gradients before clipping, and the moments after the last step. 131 values are no multiple of a vector.
"""

import pathlib

import torch
from safetensors.torch import save_file

STEPS = 5
torch.manual_seed(3)
start = {name: torch.randn(131) for name in ("decayed", "plain")}
values = {name: torch.nn.Parameter(value.clone()) for name, value in start.items()}
groups = [dict(params=[values["decayed"]], weight_decay=0.1), dict(params=[values["plain"]], weight_decay=0.0)]
optimizer = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95), eps=1e-8, fused=True)
expected = {f"{name}.start": value for name, value in start.items()}
for step in range(STEPS):
    for name, value in values.items():
        value.grad = torch.randn(131) * 10.0 ** torch.randint(-6, 2, (131,))
        expected[f"{name}.gradient.{step}"] = value.grad.clone()
    norm = torch.nn.utils.clip_grad_norm_(list(values.values()), 1.0)
    expected[f"norm.{step}"] = norm.detach().reshape(1)
    optimizer.step()
    for name, value in values.items():
        expected[f"{name}.after.{step}"] = value.detach().clone()
for name, value in values.items():
    expected[f"{name}.first"] = optimizer.state[value]["exp_avg"]
    expected[f"{name}.second"] = optimizer.state[value]["exp_avg_sq"]
save_file(expected, pathlib.Path(__file__).parent / "expected.safetensors")
