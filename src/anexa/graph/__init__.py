"""Drawings of computations: the `Value` graph of an expression, and a model's architecture.

`expression` and `value_graph` make the graph of an expression, `model_graph` that of a model;
`drawing` and `svg` write a graph as Mermaid, Graphviz DOT or SVG. Only the standard library is
needed.
"""
