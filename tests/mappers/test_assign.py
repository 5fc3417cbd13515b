"""Rules over module paths, and the text of their errors."""

from __future__ import annotations

import pytest

import formats as nf
import mappers as mp


@pytest.fixture(scope="module")
def graph() -> mp.Graph:
    return mp.load("llama-3-8b-prefill")


def formats_of(graph: mp.Graph, module: str) -> mp.Formats:
    (node,) = (node for node in graph.product_nodes if node.module == module)
    return node.formats


def test_rules_defaults_and_order(graph):
    mlp = mp.Formats("mxfp4", "mxfp4")
    attention = mp.Formats("e4m3fn", "e4m3fn", kv="int8:token")
    assigned = mp.assign(
        graph, {"*.mlp.*": "mxfp4", "*.self_attn.*": attention, "*.0.mlp.up_proj": "int4:g128/int8:token"}
    )
    assert formats_of(assigned, "model.layers.0.mlp.gate_proj") == mlp
    assert formats_of(assigned, "model.layers.0.mlp.up_proj") == mp.Formats("int4:g128", "int8:token")
    assert formats_of(assigned, "model.layers.1.mlp.up_proj") == mlp
    assert formats_of(assigned, "model.layers.31.self_attn.o_proj") == attention
    # The attention product itself runs in the module the pattern names, not below it.
    assert formats_of(assigned, "model.layers.31.self_attn") == attention
    assert formats_of(assigned, "lm_head") == mp.Formats("bfloat16", "bfloat16")
    assert all(node.formats is not None for node in assigned.product_nodes)
    assert all(node.formats is None for node in assigned.nodes if not node.products)
    assert all(node.formats is None for node in graph.nodes)
    assert assigned.macs() == graph.macs()


def test_default_is_written_down(graph):
    assigned = mp.assign(graph, {"*.mlp.*": "mxfp4"}, default="float32")
    assert assigned.default == "float32"
    assert formats_of(assigned, "lm_head") == mp.Formats("float32", "float32")
    # What an earlier assign set stays; only what it left to the default could change, and it is no longer open.
    again = mp.assign(assigned, {"lm_head": "int8:channel/int8:token"}, default="bfloat16")
    assert formats_of(again, "lm_head") == mp.Formats("int8:channel", "int8:token")
    assert formats_of(again, "model.layers.0.mlp.up_proj") == mp.Formats("mxfp4", "mxfp4")
    assert formats_of(again, "model.layers.0.self_attn") == mp.Formats("float32", "float32")


def test_both_operands_and_both_products(graph):
    formats = mp.Formats("int4:g128", "e4m3fn", kv="int8:token")
    assigned = mp.assign(graph, {"*": formats})
    for node, product in assigned.gemms():
        pair = node.operand_formats(product)
        assert pair == (("e4m3fn", "int8:token") if product.label in ("qk", "pv") else ("e4m3fn", "int4:g128"))
    plain = mp.assign(graph, {"*": "int4:g128/e4m3fn"})
    assert {node.operand_formats(item) for node, item in plain.gemms() if item.label == "pv"} == {("e4m3fn", "e4m3fn")}
    assert formats.operands("matmul", None) == ("e4m3fn", "e4m3fn")
    assert formats.operands("matmul", "a") == ("int4:g128", "e4m3fn")


def test_patterns_reach_top_level_modules(bert_graph):
    assigned = mp.assign(bert_graph, {"*.encoder.*": "mxfp4", "*.pooler.*": "int8:channel"})
    assert formats_of(assigned, "pooler.dense") == mp.Formats("int8:channel", "int8:channel")
    assert formats_of(assigned, "encoder.layer.0.output.dense") == mp.Formats("mxfp4", "mxfp4")


def test_descriptions_and_names_are_the_same_formats(graph):
    by_name = mp.assign(graph, {"*": "mxfp4"})
    assert mp.assign(graph, {"*": nf.get("mxfp4")}) == by_name
    assert mp.assign(graph, {"*": mp.Formats(nf.get("mxfp4"), "mxfp4")}) == by_name
    assert str(mp.Formats("int4:g128", "int8:token", kv="mxfp4")) == "int4:g128/int8:token, kv mxfp4"
    assert str(mp.Formats("mxfp4", "mxfp4")) == "mxfp4"


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"*.attn.*": "mxfp4"}, r"rule '\*\.attn\.\*' matches no module of graph 'llama-3-8b-prefill'; near paths: "
                                r"model\.layers\.0\.self_attn"),
        ({"*.mlp.upproj": "mxfp4"}, r"near paths: model\.layers\.0\.mlp\.\w+_proj"),
        ({"*norm": "mxfp4"}, r"rule '\*norm' matches only modules without a matrix product"),
        ({"*": "mxfp5"}, r"unknown format 'mxfp5'; near names: mxfp"),
        ({"*": "int4:g128/"}, r"'int4:g128/' must be one format, or weight/activation such as 'int4:g128/int8'"),
        ({"*": "int4/int8/int8"}, r"must be one format, or weight/activation"),
        ({"*": mp.Formats}, r"expected a format or its name"),
    ],
)  # fmt: skip
def test_errors_say_what_would_work(graph, rules, message):
    with pytest.raises((ValueError, TypeError), match=message):
        mp.assign(graph, rules)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("int8", r"rules must map globs over module paths to formats, got 'int8'; say \{\"\*\": 'int8'\}"),
        (["int8"], r"got list \['int8'\]; say \{\"\*\": \"int8\"\}"),
        ({"*": None}, r"rule '\*' expected a format or its name such as 'int8', or mappers\.Formats, got None"),
        ({"*": 8}, r"got 8; a rule is left out by not naming it"),
    ],
)
def test_rules_of_the_wrong_type(graph, rules, message):
    with pytest.raises(TypeError, match=message):
        mp.assign(graph, rules)


def test_assigned_graphs_share_their_compiled_counts(graph):
    graph.bind(B=1, S=1)
    assigned = mp.assign(graph, {"*": "mxfp4"})
    assert assigned._table is graph._table
    assert assigned.derived is mp.assign(assigned, {"*": "int8"}).derived
    assert (assigned.bind(B=2, S=9).products["macs"] == graph.bind(B=2, S=9).products["macs"]).all()
