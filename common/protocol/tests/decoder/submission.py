"""A second decoder of submissions, written from FORMATS.md with Python's standard library alone.

Reads lines of JSON from its input: {"file": path, "chunk": values of a full chunk, "topk": values sent of each chunk,
"shapes": [[rows, columns] or [columns] of each tensor, in the order of their names]}. For each, writes a line of JSON:
a list with {"positions": [...], "values": [bits of f32, ...]} for each tensor, or {"error": the defect}. It checks the
digest, and that the encoding is the only valid one. It does not check the signature.
"""

import json
import struct
import sys
from bisect import bisect_right
from functools import lru_cache
from math import comb, isqrt

HEADER_BYTES, ENTRY_BYTES, TRAILER_BYTES = 288, 16, 96
TEMPLAR, SIGN_CENTROID, F32, SIGN = 1, 2, 3, 4


class Malformed(Exception):
    """The bytes are not a submission."""


def check(fine, what):
    if not fine:
        raise Malformed(what)


# BLAKE3


IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
CHUNK_START, CHUNK_END, PARENT, ROOT, KEY_CONTEXT, KEY_MATERIAL = 1, 2, 4, 8, 32, 64
MASK = 0xFFFFFFFF


def compress(chaining, block, counter, length, flags):
    v = [*chaining, *IV[:4], counter & MASK, counter >> 32, length, flags]

    def mix(a, b, c, d, x, y):
        for word, left, right in ((x, 16, 12), (y, 8, 7)):
            v[a] = (v[a] + v[b] + word) & MASK
            turned = v[d] ^ v[a]
            v[d] = (turned >> left | turned << (32 - left)) & MASK
            v[c] = (v[c] + v[d]) & MASK
            turned = v[b] ^ v[c]
            v[b] = (turned >> right | turned << (32 - right)) & MASK

    message = list(block)
    for _ in range(7):
        for at, (a, b, c, d) in enumerate(((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15))):
            mix(a, b, c, d, message[2 * at], message[2 * at + 1])
        for at, (a, b, c, d) in enumerate(((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))):
            mix(a, b, c, d, message[8 + 2 * at], message[9 + 2 * at])
        message = [message[at] for at in PERMUTATION]
    return [v[at] ^ v[at + 8] for at in range(8)]


def blake3(data, key, flags):
    def words(block):
        return struct.unpack("<16I", block.ljust(64, b"\0"))

    def leaf(at, extra):
        piece = data[1024 * at : 1024 * (at + 1)]
        blocks = [piece[start : start + 64] for start in range(0, max(len(piece), 1), 64)]
        chaining = key
        for number, block in enumerate(blocks):
            flag = flags | (CHUNK_START if number == 0 else 0)
            flag |= CHUNK_END | extra if number == len(blocks) - 1 else 0
            chaining = compress(chaining, words(block), at, len(block), flag)
        return chaining

    def tree(first, count, extra):
        if count == 1:
            return leaf(first, extra)
        left = 1 << (count - 1).bit_length() - 1
        halves = tree(first, left, 0) + tree(first + left, count - left, 0)
        return compress(key, halves, 0, 64, flags | PARENT | extra)

    return tree(0, max(1, -(-len(data) // 1024)), ROOT)


def derive_key(context, data):
    return struct.pack("<8I", *blake3(data, blake3(context, IV, KEY_CONTEXT), KEY_MATERIAL))


# Bits, numbers, prefix codes


class Bits:
    """Reads the bits of bytes, the lowest bit of each byte first."""

    def __init__(self, data):
        self.data, self.position = data, 0

    def take(self, count):
        first, last = self.position // 8, -(-(self.position + count) // 8)
        bits = int.from_bytes(self.data[first:last], "little") >> self.position % 8
        self.position += count
        check(self.position <= 8 * len(self.data), "the bits end too early")
        return bits & (1 << count) - 1

    def below(self, count):
        length = count.bit_length() - 1
        short = (2 << length) - count
        number = self.take(length)
        if number >= short and self.take(1):
            number += (1 << length) - short
        return number

    def symbol(self, code):
        bits = length = 0
        while (length, bits) not in code:
            bits = bits << 1 | self.take(1)
            length += 1
        return code[length, bits]

    def end(self):
        left = 8 * len(self.data) - self.position
        check(left < 8 and self.take(left) == 0, "the padding is not zeros up to the next byte")


def lengths_of(weights, most):
    """Returns the lengths of the optimal prefix code, by package-merge."""
    coins = sorted((weight, symbol) for symbol, weight in enumerate(weights) if weight)
    rounds = [[(weight, True) for weight, _ in coins]]
    for _ in range(most - 1):
        items = rounds[-1]
        packages = [(items[at][0] + items[at + 1][0], False) for at in range(0, len(items) - 1, 2)]
        rounds.append(sorted(rounds[0] + packages, key=lambda item: item[0]))
    lengths = [0 if weight else None for weight in weights]
    taken = max(0, 2 * (len(coins) - 1))
    for items in reversed(rounds):
        packages = sum(not coin for _, coin in items[:taken])
        for _, symbol in coins[: taken - packages]:
            lengths[symbol] += 1
        taken = 2 * packages
    return lengths


def canonical(lengths):
    """Returns a map from (length, bits) to the symbol."""
    code, bits, last = {}, 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(lengths) if length is not None):
        bits <<= length - last
        code[length, bits] = symbol
        bits, last = bits + 1, length
    return code


# Positions


@lru_cache(None)
def half_code(count):
    return canonical(lengths_of([comb(count, left) for left in range(count + 1)], 10))


@lru_cache(None)
def binomials(k):
    return [comb(n, k) for n in range(512)]


def read_positions(bits, start, size, count):
    if count in (0, size):
        return list(range(start, start + count))
    if size <= 512 and count <= 32 and comb(size, count) < 1 << 63:
        number, positions = bits.below(comb(size, count)), []
        for k in range(count, 0, -1):
            position = bisect_right(binomials(k), number) - 1
            number -= comb(position, k)
            positions.insert(0, start + position)
        return positions
    left_size, right_size = -(-size // 2), size // 2
    least, most = max(0, count - right_size), min(count, left_size)
    left = bits.symbol(half_code(count)) if count <= 64 else least + bits.below(most - least + 1)
    check(least <= left <= most, "a half has more positions than values")
    return read_positions(bits, start, left_size, left) + read_positions(
        bits, start + left_size, right_size, count - left
    )


# Codes


def codes_of(symbol):
    return [symbol >> shift & 3 for shift in (0, 2, 4, 6)]


def symbols_of(codes):
    padded = codes + codes[-1:] * (-len(codes) % 4)
    return [sum(code << 2 * at for at, code in enumerate(padded[four : four + 4])) for four in range(0, len(padded), 4)]


def lengths_of_weights(weights):
    products = []
    for symbol in range(256):
        a, b, c, d = (weights[code] for code in codes_of(symbol))
        products.append(a * b * c * d)
    return lengths_of(products, 12)


class Codes:
    """The encoding of a tensor's codes: its table and its prefix code."""

    def __init__(self, table):
        self.table = table
        if len(table) == 4:
            self.lengths = lengths_of_weights(table)
        else:
            self.lengths = [length - 1 if length else None for pair in table for length in (pair & 15, pair >> 4)]
            room = sum(1 << 12 - length for length in self.lengths if length is not None and length <= 12)
            check(room == 1 << 12 and max(length or 0 for length in self.lengths) <= 12, "the table does not define a prefix code")
        self.code = canonical(self.lengths)
        self.counts = [0] * 256

    def read(self, data, count):
        symbols = -(-count // 4)
        if len(data) == symbols:
            read = list(data)
        else:
            bits = Bits(data)
            read = [bits.symbol(self.code) for _ in range(symbols)]
            bits.end()
        check(all(self.lengths[symbol] is not None for symbol in read), "a symbol has no code")
        bits = sum(self.lengths[symbol] for symbol in read)
        check(len(data) == min(symbols, -(-bits // 8)), "the codes are not in canonical form")
        codes = [code for symbol in read for code in codes_of(symbol)]
        check(symbols_of(codes[:count]) == read, "the last symbol is not filled up with the last code")
        for symbol in read:
            self.counts[symbol] += 1
        return codes[:count]

    def finish(self):
        if len(self.table) == 4:
            counts = [sum(n * codes_of(symbol).count(code) for symbol, n in enumerate(self.counts)) for code in range(4)]
            most = max(1, *counts)
            table = bytes(max(1, count * 255 // most) if count else 0 for count in counts)
        else:
            lengths = [0 if length is None else length + 1 for length in lengths_of(self.counts, 12)]
            table = bytes(lengths[at] | lengths[at + 1] << 4 for at in range(0, 256, 2))
        check(table == self.table, "the table of the codes does not match the codes")


# Tensors


def divisor(size, most):
    return max((edge for edge in range(1, min(size, most) + 1) if size % edge == 0), default=1)


def f32(value):
    return struct.unpack("<I", struct.pack("<f", value))[0]


def finite(data):
    values = struct.unpack(f"<{len(data) // 4}f", data)
    check(all(abs(value) < float("inf") for value in values), "a number is not finite")
    return values


def magnitude(share):
    return (16 + share % 16) * 2.0 ** (share // 16 - 20) if share else 0.0


class Reader:
    def __init__(self, data):
        self.data, self.offset = data, 0

    def take(self, count):
        check(self.offset + count <= len(self.data), "the bytes end too early")
        self.offset += count
        return self.data[self.offset - count : self.offset]


def read_tensor(reader, shape, chunk, topk, quantizer):
    rows, columns = shape if len(shape) == 2 else (1, *shape)
    edge = isqrt(chunk)
    height, width = divisor(rows, edge), divisor(columns, edge)
    chunks, size = (rows // height) * (columns // width) if rows and columns else 0, height * width
    sent = min(size, topk)
    each = min(64, max(1, 32768 // max(1, sent)))
    counts = [min(each, chunks - first) for first in range(0, chunks, each)]
    if quantizer != F32:
        kept = finite(reader.take(16 if quantizer == TEMPLAR else 4))
        scale = kept[0]
        check(quantizer == TEMPLAR or f32(scale) >> 31 == 0, "the scale is negative")
    if quantizer in (TEMPLAR, SIGN_CENTROID):
        book = Codes(reader.take(4 if chunks * sent < 32768 else 128))
    lengths = [struct.unpack("<HH", reader.take(4)) for _ in counts]
    positions, values = [], []
    for count, (code_bytes, position_bytes) in zip(counts, lengths):
        if quantizer == F32:
            values += [f32(value) for value in finite(reader.take(4 * count * sent))]
            check(code_bytes == 0, "there are no codes")
        elif quantizer == SIGN:
            magnitudes = [scale * magnitude(share) for share in reader.take(count)]
            signs = Bits(reader.take(-(-count * sent // 8)))
            values += [f32(-magnitudes[at // sent] if signs.take(1) else magnitudes[at // sent]) for at in range(count * sent)]
            signs.end()
            check(code_bytes == 0, "there are no codes")
        else:
            levels = [[f32(level) for level in kept]] * count
            if quantizer == SIGN_CENTROID:
                pairs = reader.take(2 * count)
                pairs = [(pairs[at], pairs[at + 1]) for at in range(0, 2 * count, 2)]
                check(all(small <= large for small, large in pairs), "magnitudes are in the wrong order")
                scaled = [[scale * magnitude(share) for share in pair] for pair in pairs]
                levels = [[f32(small), f32(large), f32(-small), f32(-large)] for small, large in scaled]
            codes = book.read(reader.take(code_bytes), count * sent)
            values += [levels[at // sent][code] for at, code in enumerate(codes)]
        bits = Bits(reader.take(position_bytes))
        for _ in range(count):
            positions += read_positions(bits, 0, size, sent)
        bits.end()
    if quantizer in (TEMPLAR, SIGN_CENTROID):
        book.finish()
    return {"positions": positions, "values": values}


def read_submission(data, chunk, topk, shapes):
    check(len(data) >= HEADER_BYTES + TRAILER_BYTES, "the object is too short")
    kind, version, codec, quantizer = data[:4]
    check((kind, version, codec) == (0xE4, 1, 1), "the kind, the version or the codec is wrong")
    check(quantizer in (TEMPLAR, SIGN_CENTROID, F32, SIGN), "the quantizer is unknown")
    check(not any(data[4:8]) and not any(data[160:276]), "reserved bytes are not zero")
    tensors, length = struct.unpack("<IQ", data[276:HEADER_BYTES])
    check((tensors, length) == (len(shapes), len(data)), "the number of tensors or the length is wrong")
    signed = data[:-TRAILER_BYTES]
    check(derive_key(b"muster v1 object", signed) == data[-TRAILER_BYTES:-64], "the digest is wrong")
    reader = Reader(signed)
    reader.take(HEADER_BYTES)
    table = [struct.unpack("<IIQ", reader.take(ENTRY_BYTES)) for _ in shapes]
    decoded = []
    for shape, entry in zip(shapes, table):
        expected = (*shape, reader.offset) if len(shape) == 2 else (0, *shape, reader.offset)
        check(entry == expected, "the table is wrong")
        decoded.append(read_tensor(reader, shape, chunk, topk, quantizer))
    check(reader.offset == len(signed), "bytes follow the last tensor")
    return decoded


def main():
    for line in sys.stdin:
        case = json.loads(line)
        with open(case["file"], "rb") as file:
            data = file.read()
        try:
            result = read_submission(data, case["chunk"], case["topk"], case["shapes"])
        except Malformed as what:
            result = {"error": str(what)}
        print(json.dumps(result))


if __name__ == "__main__":
    main()
