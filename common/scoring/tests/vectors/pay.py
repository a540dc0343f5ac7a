"""A second implementation of the rules of pay: contribution, proof, credit, score.

Writes pay.txt. Each line is a window of a miner: window, miner, fault (0 for none, 1 absent, 2 missing) or the bits of
sum and squares of the improvements on assigned, common and own sequences, share, excess; then the results: state of the
proof (0 undecided, 1 passed, 2 failed), its evidence, mean contribution, credit, score. All but the bits are integers.
Run with `python3 pay.py > pay.txt`.
"""

import math
import random
import struct

SEQUENCES = (64, 32, 32)
FRACTION, FIRST_MARGIN, FLOOR, FIRST_IMPROVEMENT = 350_000, 1_000_000, 500_000, 100
FACTOR, ALL_AFTER, RECOVERY = 750_000, 3, 100_000


def rounded(number):
    """Returns the nearest integer, a half away from zero."""
    low = math.floor(abs(number))
    return int(math.copysign(low + (abs(number) - low >= 0.5), number))


def threshold(rate):
    return rounded(math.log(1 / rate) * 1e6)


PASS, FAIL, CHANGE = threshold(0.01), threshold(0.001), threshold(0.001)


def median(numbers):
    numbers = sorted(numbers)
    upper = numbers[len(numbers) // 2]
    return upper if len(numbers) % 2 else (numbers[len(numbers) // 2 - 1] + upper) / 2


def squared_error(count, total, squares):
    return max((squares - total * total / count) / (count - 1.0) / count, 0.0)


def judge(batches):
    """Returns improvement and margin, or None for an update without improvement."""
    (own, own_squares), (a, a_squares), (b, b_squares) = batches
    count = SEQUENCES[1] + SEQUENCES[2]
    total, squares = a + b, a_squares + b_squares
    improvement = total / count
    if improvement <= 0:
        return None
    error = math.sqrt(squared_error(SEQUENCES[0], own, own_squares) + squared_error(count, total, squares))
    return improvement, (own / SEQUENCES[0] - improvement) / error


def observe(state, total, evidence):
    if state == 0:
        total += min(evidence, PASS // 2)
        return (1, 0) if total >= PASS else (2, 0) if total <= -FAIL else (0, total)
    toward = -evidence if state == 1 else evidence
    total = max(total + min(toward, CHANGE // 2), 0)
    return (3 - state, 0) if total >= CHANGE else (state, total)


class Miner:
    def __init__(self):
        self.proof, self.windows, self.credit, self.failures = (0, 0), [0] * 20, 1_000_000, 0

    def fail(self):
        self.failures += 1
        self.windows = self.windows[1:] + [0]
        self.credit = 0 if self.failures >= ALL_AFTER else self.credit * FACTOR // 1_000_000

    def results(self):
        state, total = self.proof
        factor = (500_000 if total > 0 else 0, 1_000_000, 0)[state]
        mean = sum(self.windows) // 20
        return state, total, mean, self.credit, mean * mean * factor * self.credit // 10**12


def window(miners, field, judged, inputs):
    """Updates all judged miners of a window, and the record of the field."""
    missing = max(5 - len(field), 0)
    total = sum(margin for _, margin in field) + missing * FIRST_MARGIN
    expected = int(total / (len(field) + missing))
    passed = [judged[name] for name in judged if miners[name].proof[0] == 1]
    last = median([units / 1e12 for units, _ in field]) if field else None
    now = None
    if passed:
        units = max(rounded(median([j[0] for j in passed]) * 1e12), 1)
        now = units / 1e12, rounded(median([j[1] for j in passed]) * 1e6)
    measurable = expected >= FLOOR and (now is None or now[1] >= FLOOR)
    if now and last:
        reference = max(now[0], 0.5 * last)
    elif now:
        reference = max(now[0], FIRST_IMPROVEMENT / 1e6)
    else:
        reference = last or max(median([j[0] for j in judged.values()]), FIRST_IMPROVEMENT / 1e6)
    for name, (improvement, margin) in judged.items():
        miner, (share, excess) = miners[name], inputs[name][1:]
        if measurable:
            q, f = FRACTION / 1e6, expected / 1e6
            evidence = rounded((1.0 - q) * f * (margin - (1.0 + q) * f / 2.0) * 1e6)
            miner.proof = observe(*miner.proof, evidence)
        unique = 10**12 // (10**6 + excess)
        relative = min(max(improvement / reference, 0.0), 2.0) * math.sqrt(share / 1e6 * (unique / 1e6))
        miner.windows = miner.windows[1:] + [rounded(relative * 1e6)]
        miner.credit, miner.failures = min(miner.credit + RECOVERY, 1_000_000), 0
    if now:
        field.append((rounded(now[0] * 1e12), now[1]))
        del field[:-20]


def measure(chance, strength, margin):
    """Returns sums of a miner with this improvement in per cent, and this margin in standard errors."""
    mean = 0.01 * strength * (1 + 0.04 * chance.gauss(0, 1))
    error = 0.0007
    own = mean + error * 1.4 * (margin + chance.gauss(0, 1))
    batch = lambda count, mean: (count * mean, count * (mean * mean + error * error * 64))
    return [batch(count, value) for count, value in zip(SEQUENCES, (own, mean, mean))]


KINDS = [(1, 2), (1, 2), (1.02, 2), (0.9, 2.5), (0.7, 1), (1, 0), (-1, 0), (1, 2)]


def main():
    chance = random.Random(12)
    miners, field = {name: Miner() for name in range(len(KINDS))}, []
    for number in range(60):
        judged, inputs, faults = {}, {}, {}
        for name, (strength, margin) in enumerate(KINDS):
            if name == 7 and number % 3 == 2 or name == 3 and 20 <= number < 25:
                faults[name] = 2
                continue
            share, excess = (500_000 if name == 1 else 1_000_000), (chance.randrange(10**6) if name == 2 else 0)
            inputs[name] = measure(chance, strength, margin), share, excess
            found = judge(inputs[name][0])
            if found:
                judged[name] = found
        window(miners, field, judged, inputs)
        for name, miner in miners.items():
            if name not in judged:
                miner.fail()
            bits = lambda number: struct.pack(">d", number).hex()
            if name in faults:
                given = [faults[name]]
            else:
                batches, share, excess = inputs[name]
                given = [0, *(bits(number) for batch in batches for number in batch), share, excess]
            print(number, name, *given, *miner.results())


main()
