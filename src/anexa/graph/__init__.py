"""Pictures of what is computed: the `Value` graph of an expression, and a model's architecture.

`expression` and `value_graph` make the one, `model_graph` the other; `drawing` writes either as
Mermaid, Graphviz DOT or SVG. Only the standard library is needed.
"""
