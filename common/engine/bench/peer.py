"""The same model, batch and optimizer in eager PyTorch, for `engine-bench`.

Reads the case as a line of JSON, then a line with a number of steps for each round. Answers each line with a
line of JSON. At the end of the input, answers with the highest memory above that of the loaded libraries.
"""

import json
import math
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

BETAS, EPSILON, DECAY, RATE, CLIP = (0.9, 0.95), 1e-8, 0.1, 1e-3, 1.0


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads, self.kv_heads, self.width = c["heads"], c["kv_heads"], c["head_dim"]
        linear = lambda i, o: nn.Linear(i, o, bias=False)
        self.query = linear(c["hidden"], self.heads * self.width)
        self.key = linear(c["hidden"], self.kv_heads * self.width)
        self.value = linear(c["hidden"], self.kv_heads * self.width)
        self.output = linear(self.heads * self.width, c["hidden"])
        self.gate, self.up = linear(c["hidden"], c["ffn"]), linear(c["hidden"], c["ffn"])
        self.down = linear(c["ffn"], c["hidden"])
        self.attention_norm = nn.RMSNorm(c["hidden"], c["norm_eps"])
        self.feed_norm = nn.RMSNorm(c["hidden"], c["norm_eps"])

    def forward(self, x, cos, sin):
        batch, length, _ = x.shape
        h = self.attention_norm(x)
        split = lambda y, heads: y.view(batch, length, heads, self.width).transpose(1, 2)

        def turn(y):
            first, second = y.chunk(2, -1)
            return y * cos + torch.cat((-second, first), -1) * sin

        q, k = turn(split(self.query(h), self.heads)), turn(split(self.key(h), self.kv_heads))
        v = split(self.value(h), self.kv_heads)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=self.heads != self.kv_heads)
        x = x + self.output(y.transpose(1, 2).reshape(batch, length, -1))
        h = self.feed_norm(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Decoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embedding = nn.Embedding(c["vocab"], c["hidden"])
        self.layers = nn.ModuleList(Layer(c) for _ in range(c["layers"]))
        self.norm = nn.RMSNorm(c["hidden"], c["norm_eps"])
        self.head = nn.Linear(c["hidden"], c["vocab"], bias=False)
        if c["tied"]:
            self.head.weight = self.embedding.weight
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)
        frequencies = 1.0 / (c["rope_theta"] ** (torch.arange(0, c["head_dim"], 2) / c["head_dim"]))
        angles = torch.outer(torch.arange(c["sequence"]).float(), frequencies)
        angles = torch.cat((angles, angles), -1)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def forward(self, tokens, targets):
        x = self.embedding(tokens)
        cos, sin = self.cos[: tokens.shape[1]], self.sin[: tokens.shape[1]]
        for layer in self.layers:
            x = layer(x, cos, sin)
        logits = self.head(self.norm(x))
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def status(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def answer(value):
    print(json.dumps(value), flush=True)


case = json.loads(sys.stdin.readline())
torch.set_num_threads(case["threads"])
torch.randn(256, 256, requires_grad=True).matmul(torch.randn(256, 256)).sum().backward()
before = status("VmRSS")
torch.manual_seed(0)
spec = case["spec"]
model = Decoder(spec)
matrices = [p for p in model.parameters() if p.dim() == 2]
gains = [p for p in model.parameters() if p.dim() == 1]
groups = [dict(params=matrices, weight_decay=DECAY), dict(params=gains, weight_decay=0.0)]
optimizer = torch.optim.AdamW(groups, lr=RATE, betas=BETAS, eps=EPSILON, fused=True)


def step():
    tokens = torch.randint(0, spec["vocab"], (case["batch"], spec["sequence"]))
    with torch.autocast("cpu", torch.bfloat16, enabled=case["kind"] == "bf16"):
        loss = model(tokens[:, :-1], tokens[:, 1:])
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), CLIP)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()


answer(dict(version=torch.__version__, parameters=sum(p.numel() for p in model.parameters())))
for line in sys.stdin:
    started = time.perf_counter()
    loss = [step() for _ in range(int(line))][-1]
    seconds = time.perf_counter() - started
    if not math.isfinite(loss):
        sys.exit(f"the loss is {loss}")
    answer(dict(seconds=seconds, loss=loss))
answer(dict(peak=status("VmHWM") - before))
