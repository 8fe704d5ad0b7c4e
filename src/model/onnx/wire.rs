//! Checks a file's protobuf framing before anything is decoded: every length stays inside its
//! message, nesting and counts stay within limits, and an error knows its place and byte offset.
//! Costs one look at each field's header; payloads are skipped, not read.

use std::fmt::Write as _;

/// Most nodes a file may have, subgraphs included.
pub(super) const MAX_NODES: usize = 1_000_000;
/// Most sub-messages, strings and attribute numbers in total: bounds the memory of the decoded
/// graph at a few hundred bytes each.
const MAX_PARTS: usize = 16_000_000;
/// Deepest nesting of If, Loop and Scan bodies.
pub(super) const MAX_SUBGRAPH_DEPTH: usize = 16;

/// What is wrong with the framing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A field runs past the end of the file.
    Truncated { missing: u64 },
    /// Not valid protobuf for ONNX's schema.
    Corrupt(&'static str),
    /// Over a limit.
    Limit { what: &'static str, limit: usize },
}

/// A fault and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Error {
    /// `graph.node[3].attribute[0]`; empty at the top level.
    pub place: String,
    /// Byte offset in the file of the field at fault.
    pub offset: usize,
    pub fault: Fault,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Msg {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    ValueInfo,
    Type,
    TensorType,
    Shape,
    Dimension,
    Entry,
    OperatorSet,
    SparseTensor,
}

#[derive(Clone, Copy)]
enum Field {
    Message(Msg, &'static str),
    Text,
    Bytes,
    Varint,
    Fixed32,
    /// Repeated varints, packed or not, decoded into memory.
    Varints,
    /// Repeated 32-bit numbers, packed or not, decoded into memory.
    Fixed32s,
    /// Repeated numbers that stay bytes.
    Chunks,
    /// Anything that is skipped.
    Any,
}

fn field(msg: Msg, number: u64) -> Field {
    use Field::{Any, Bytes, Chunks, Fixed32, Fixed32s, Message, Text, Varint, Varints};
    match (msg, number) {
        (Msg::Model | Msg::TensorType | Msg::Dimension, 1)
        | (Msg::Attribute, 3 | 20)
        | (Msg::Tensor, 2 | 14)
        | (Msg::OperatorSet, 2) => Varint,
        (Msg::Model, 2 | 3)
        | (Msg::Graph | Msg::Dimension, 2)
        | (Msg::Node, 1..=4 | 7)
        | (Msg::Attribute | Msg::ValueInfo | Msg::Entry | Msg::OperatorSet, 1)
        | (Msg::Tensor, 8) => Text,
        (Msg::Model, 7) => Message(Msg::Graph, "graph"),
        (Msg::Model, 8) => Message(Msg::OperatorSet, "opset_import"),
        (Msg::Graph, 1) => Message(Msg::Node, "node"),
        (Msg::Graph, 5) => Message(Msg::Tensor, "initializer"),
        (Msg::Graph, 11) => Message(Msg::ValueInfo, "input"),
        (Msg::Graph, 12) => Message(Msg::ValueInfo, "output"),
        (Msg::Graph, 13) => Message(Msg::ValueInfo, "value_info"),
        (Msg::Graph, 15) => Message(Msg::SparseTensor, "sparse_initializer"),
        (Msg::Node, 5) => Message(Msg::Attribute, "attribute"),
        (Msg::Model, 14) | (Msg::Node, 9) => Message(Msg::Entry, "metadata_props"),
        (Msg::Attribute, 2) => Fixed32,
        (Msg::Attribute, 4 | 9) | (Msg::Tensor, 9) | (Msg::Entry, 2) => Bytes,
        (Msg::Tensor, 4 | 5 | 7 | 10 | 11) => Chunks,
        (Msg::Attribute, 5) => Message(Msg::Tensor, "t"),
        (Msg::Attribute, 6) => Message(Msg::Graph, "g"),
        (Msg::Attribute, 7) => Fixed32s,
        (Msg::Attribute, 8) | (Msg::Tensor, 1) | (Msg::SparseTensor, 3) => Varints,
        (Msg::Attribute, 10) => Message(Msg::Tensor, "tensors"),
        (Msg::Attribute, 11) => Message(Msg::Graph, "graphs"),
        (Msg::ValueInfo, 2) => Message(Msg::Type, "type"),
        (Msg::Type, 1) => Message(Msg::TensorType, "tensor_type"),
        (Msg::TensorType, 2) => Message(Msg::Shape, "shape"),
        (Msg::Shape, 1) => Message(Msg::Dimension, "dim"),
        (Msg::SparseTensor, 1) => Message(Msg::Tensor, "values"),
        _ => Any,
    }
}

struct Scan<'a> {
    data: &'a [u8],
    place: Vec<(&'static str, usize)>,
    nodes: usize,
    parts: usize,
    graphs_deep: usize,
}

/// Checks a whole file.
pub(super) fn check(data: &[u8]) -> Result<(), Error> {
    let mut scan = Scan {
        data,
        place: Vec::new(),
        nodes: 0,
        parts: 0,
        graphs_deep: 0,
    };
    scan.message(Msg::Model, 0, data.len())
}

impl Scan<'_> {
    fn fail(&self, offset: usize, fault: Fault) -> Error {
        let mut place = String::new();
        for (i, (label, index)) in self.place.iter().enumerate() {
            if i > 0 {
                place.push('.');
            }
            place.push_str(label);
            if !matches!(
                *label,
                "graph" | "type" | "tensor_type" | "shape" | "t" | "g"
            ) {
                // Writing to a String cannot fail.
                write!(place, "[{index}]").unwrap_or_default();
            }
        }
        Error {
            place,
            offset,
            fault,
        }
    }

    fn varint(&self, pos: &mut usize, end: usize) -> Result<u64, Error> {
        let start = *pos;
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = if *pos < end {
                self.data.get(*pos).copied()
            } else {
                None
            };
            let Some(byte) = byte else {
                return Err(self.past_end(start, end, 1));
            };
            *pos += 1;
            if shift < 64 {
                value |= u64::from(byte & 0x7f) << shift;
            }
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.fail(start, Fault::Corrupt("a number is longer than 10 bytes")))
    }

    fn past_end(&self, offset: usize, end: usize, missing: u64) -> Error {
        if end == self.data.len() {
            self.fail(offset, Fault::Truncated { missing })
        } else {
            self.fail(
                offset,
                Fault::Corrupt("a field is longer than the message around it"),
            )
        }
    }

    fn count(&mut self, offset: usize, parts: usize) -> Result<(), Error> {
        self.parts = self.parts.saturating_add(parts);
        if self.parts > MAX_PARTS {
            let what = "attributes, tensors, names and other parts";
            return Err(self.fail(
                offset,
                Fault::Limit {
                    what,
                    limit: MAX_PARTS,
                },
            ));
        }
        Ok(())
    }

    fn message(&mut self, msg: Msg, start: usize, end: usize) -> Result<(), Error> {
        // How often each field has been seen, for the place; ONNX's repeated messages are 1..=15.
        let mut seen = [0usize; 16];
        let mut pos = start;
        while pos < end {
            let at = pos;
            let key = self.varint(&mut pos, end)?;
            let (number, wire) = (key >> 3, key & 7);
            if number == 0 || key > u64::from(u32::MAX) {
                return Err(self.fail(at, Fault::Corrupt("a field number is out of range")));
            }
            let kind = field(msg, number);
            let fits = match kind {
                Field::Message(..) | Field::Text | Field::Bytes => wire == 2,
                Field::Varint => wire == 0,
                Field::Fixed32 => wire == 5,
                Field::Varints => wire == 0 || wire == 2,
                Field::Fixed32s => wire == 5 || wire == 2,
                Field::Chunks | Field::Any => matches!(wire, 0 | 1 | 2 | 5),
            };
            if !fits {
                return Err(self.fail(
                    at,
                    Fault::Corrupt("a field has a type that ONNX does not give it"),
                ));
            }
            let skip = match wire {
                0 => {
                    self.varint(&mut pos, end)?;
                    0
                }
                1 => 8,
                5 => 4,
                _ => self.varint(&mut pos, end)?,
            };
            let left = (end - pos) as u64;
            let body = pos;
            if let Field::Message(_, label) = kind {
                let slot = &mut seen[(number & 15) as usize];
                self.place.push((label, *slot));
                *slot += 1;
            }
            if skip > left {
                return Err(self.past_end(at, end, skip - left));
            }
            pos += skip as usize;
            match kind {
                Field::Message(child, _) => {
                    self.enter(child, at, body, pos)?;
                    self.place.pop();
                }
                Field::Text => {
                    self.count(at, 1)?;
                    let text = self.data.get(body..pos).unwrap_or_default();
                    if std::str::from_utf8(text).is_err() {
                        return Err(self.fail(at, Fault::Corrupt("a name is not UTF-8 text")));
                    }
                }
                Field::Bytes | Field::Chunks => self.count(at, 1)?,
                Field::Varints => self.count(at, if wire == 2 { pos - body } else { 1 })?,
                Field::Fixed32s => self.count(at, if wire == 2 { (pos - body) / 4 } else { 1 })?,
                Field::Varint | Field::Fixed32 | Field::Any => {}
            }
            if matches!(kind, Field::Fixed32s) && wire == 2 && !(pos - body).is_multiple_of(4) {
                return Err(self.fail(at, Fault::Corrupt("a list of floats is cut")));
            }
            if matches!(kind, Field::Varints) && wire == 2 {
                let mut p = body;
                while p < pos {
                    self.varint(&mut p, pos)?;
                }
            }
        }
        Ok(())
    }

    fn enter(&mut self, child: Msg, at: usize, start: usize, end: usize) -> Result<(), Error> {
        self.count(at, 1)?;
        if child == Msg::Node {
            self.nodes += 1;
            if self.nodes > MAX_NODES {
                return Err(self.fail(
                    at,
                    Fault::Limit {
                        what: "nodes",
                        limit: MAX_NODES,
                    },
                ));
            }
        }
        if child == Msg::Graph {
            self.graphs_deep += 1;
            if self.graphs_deep > MAX_SUBGRAPH_DEPTH {
                return Err(self.fail(
                    at,
                    Fault::Limit {
                        what: "levels of nested subgraphs",
                        limit: MAX_SUBGRAPH_DEPTH,
                    },
                ));
            }
        }
        self.message(child, start, end)?;
        if child == Msg::Graph {
            self.graphs_deep -= 1;
        }
        Ok(())
    }
}
