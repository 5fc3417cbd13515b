"""What a pair of formats does to the two models, measured: losses of the byte model, embeddings of MiniLM.

Each worker process traces a model once, then runs the traced graph with the pair's formats on both operands of every
matrix product, attention's included. Products are summed in float32 in BLAS's order; tests/studies/test_fidelity.py
holds a float64 sum beside it, which changes the mean loss by less than 1e-3 bits/byte.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from numpy.typing import NDArray

import mappers as mp
from studies.common import require

Workload = Literal["byte_lm", "minilm"]
BETWEEN = "bfloat16"  # values between products, as the costs have them
BYTE_LM_BATCH, MINILM_BATCH = 8, 10
TEXT_PAIRS = 150  # 300 texts


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """weight, activation: formats of the operands. label: for tables and plots.
    kv: format of attention's keys and values; None is the weight's, for an array has one kind of right-hand operand."""

    label: str
    weight: str
    activation: str
    kv: str | None = None

    @property
    def formats(self) -> mp.Formats:
        """As `mappers.assign` takes it."""
        return mp.Formats(weight=self.weight, activation=self.activation, kv=self.kv or self.weight)


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One workload under one pair; pair None is the model as it is, in float32."""

    workload: Workload
    pair: Pair | None


@cache
def traced(workload: Workload) -> tuple[mp.Graph, Any]:
    """The model's graph and its weights by name."""
    torch = require("torch", "torch")
    if workload == "byte_lm":
        from studies.workloads import byte_lm

        tokens = torch.zeros((BYTE_LM_BATCH, 256), dtype=torch.int64)
        language_model = byte_lm.load()
        return mp.trace(language_model, (tokens,)), dict(language_model.state_dict())
    from studies.workloads import minilm

    ids = torch.zeros((MINILM_BATCH, minilm.LENGTH), dtype=torch.int64)
    encoder = minilm.load()
    return mp.trace(encoder, (ids, torch.ones_like(ids))), dict(encoder.state_dict())


def measure(task: Task, accumulate: Literal["float32", "float64"] = "float32") -> NDArray[Any]:
    """The byte model's bits/byte of each window (float64 [1024]), or MiniLM's embeddings (float32 [300, 384])."""
    torch = require("torch", "torch")
    graph, weights = traced(task.workload)
    if task.pair is not None:
        graph = mp.assign(graph, {"*": task.pair.formats}, default=BETWEEN)
    run = mp.prepare(graph, weights, accumulate=accumulate, pad=True)
    with torch.no_grad():
        if task.workload == "byte_lm":
            from studies.workloads import byte_lm, corpus

            return byte_lm.window_losses(run, corpus.load().tokens, batch=BYTE_LM_BATCH)
        from studies.workloads import minilm

        ids, mask = minilm.tokenizer().batch(texts(), minilm.LENGTH)
        return minilm.embed(lambda ids, mask: run((ids, mask)), ids, mask, batch=MINILM_BATCH)


@cache
def texts() -> tuple[str, ...]:
    """The sentences MiniLM embeds: queries and passages from hash-matched docstrings."""
    from studies.workloads import corpus

    pairs = corpus.sentence_pairs(pairs=TEXT_PAIRS)
    return tuple(text for pair in pairs for text in (pair.query, pair.passage))


def _one_thread() -> None:
    """A worker's share of the machine is one core."""
    require("torch", "torch").set_num_threads(1)


def measure_all(tasks: Sequence[Task], workers: int | None = None) -> Iterator[tuple[Task, NDArray[Any]]]:
    """Every task's measurement as it is done, over `workers` processes (default: the cores this process may use)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    context = multiprocessing.get_context("spawn")  # forking a process with torch's threads can hang
    with ProcessPoolExecutor(workers or cores, mp_context=context, initializer=_one_thread) as pool:
        futures = {pool.submit(measure, task): task for task in tasks}
        for future in as_completed(futures):
            yield futures[future], future.result()
