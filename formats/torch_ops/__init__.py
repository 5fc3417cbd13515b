"""Quantization in tensor operations alone: what runs under torch.compile and on a GPU.

Bit for bit the numpy path, with two exceptions no device can avoid without waiting for the data: nan="raise" is refused
where it could raise, and an infinity under rules absmax and te_nvfp4 makes its block NaN instead of raising.
"""

from formats.torch_ops.doors import decode_codes, encode_codes, quantize

__all__ = ["decode_codes", "encode_codes", "quantize"]
