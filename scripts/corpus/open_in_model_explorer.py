"""Opens dlaplan's files for Model Explorer with Model Explorer's own types, without its window.

    open_in_model_explorer.py (GRAPH.json NODE_DATA.json MODEL.onnx)...

GRAPH.json must be a collection of graphs whose fields are all known, whose ids are unique and whose
edges end at nodes. NODE_DATA.json must be node data whose ids the ONNX adapter gives MODEL.onnx.
Prints what was found of each three files, as JSON.
"""

import dataclasses
import json
import sys

import dacite
from model_explorer import graph_builder, node_data_builder
from model_explorer_onnx.main import ONNXAdapter

STRICT = dacite.Config(strict=True)


def opened(path):
    """The collection, as the types of the package read it; unknown fields are errors."""
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    # The window takes a JSON file with these two fields as one collection.
    collection = dacite.from_dict(graph_builder.GraphCollection, data, STRICT)
    (graph,) = collection.graphs
    ids = [node.id for node in graph.nodes]
    assert len(ids) == len(set(ids)), "two nodes share an id"
    known = set(ids)
    outputs = {node.id: {m.id for m in node.outputsMetadata} for node in graph.nodes}
    edges = 0
    for node in graph.nodes:
        for edge in node.incomingEdges:
            assert edge.sourceNodeId in known, edge
            assert edge.sourceNodeOutputId in outputs[edge.sourceNodeId], edge
            edges += 1
    crossings = 0
    for data in graph.tasksData.edgeOverlaysDataListLeftPane:
        for overlay in data.overlays:
            for edge in overlay.edges:
                assert {edge.sourceNodeId, edge.targetNodeId} <= known, edge
                crossings += 1
    return {"nodes": len(ids), "edges": edges, "crossings": crossings}


def node_data(path, model):
    """The node data, and how many of its ids the adapter's graph of the model has."""
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    fields = {f.name for f in dataclasses.fields(node_data_builder.NodeDataResult)}
    # What stands beside the value is for other readers; Model Explorer passes over it.
    results = {
        key: node_data_builder.NodeDataResult(**{k: v for k, v in one.items() if k in fields})
        for key, one in data["results"].items()
    }
    read = node_data_builder.GraphNodeData(results=results, name=data["name"])
    assert json.loads(read.to_json_string())["results"].keys() == results.keys()
    graphs = ONNXAdapter().convert(model, {})["graphs"]
    ids = {node.id for graph in graphs for node in graph.nodes}
    return {
        "results": len(results),
        "numbers": sum(isinstance(r.value, (int, float)) for r in results.values()),
        "missing": sorted(results.keys() - ids),
    }


def main():
    files = sys.argv[1:]
    found = [
        {"graph": opened(graph), "node_data": node_data(data, model)}
        for graph, data, model in zip(files[::3], files[1::3], files[2::3])
    ]
    json.dump(found, sys.stdout)


main()
