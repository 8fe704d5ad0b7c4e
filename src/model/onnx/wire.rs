//! Protobuf's wire format. [`Fields`] walks the fields of one message; [`check`] walks a whole file
//! before anything is decoded: every length stays inside its message, nesting and counts stay within
//! limits, and an error knows its place and byte offset. Costs one look at each field's header;
//! payloads are skipped, not read.

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

/// A fault and its byte offset.
pub(super) type Broken = (usize, Fault);

/// Number, wire type and offset of a field.
#[derive(Clone, Copy)]
pub(super) struct Header {
    pub number: u64,
    wire: u64,
    at: usize,
}

/// One field.
pub(super) struct Field<'a> {
    pub number: u64,
    /// Header and payload.
    pub whole: &'a [u8],
    pub value: Value<'a>,
}

/// The payload of a field.
pub(super) enum Value<'a> {
    Varint(u64),
    Bytes(Fields<'a>),
    Other,
}

/// Walks the fields of one message; offsets are the file's.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    file: &'a [u8],
    pos: usize,
    end: usize,
}

impl<'a> Fields<'a> {
    /// The outermost message.
    pub fn of_file(file: &'a [u8]) -> Self {
        Self {
            file,
            pos: 0,
            end: file.len(),
        }
    }

    /// What is left to walk.
    pub fn bytes(&self) -> &'a [u8] {
        self.file.get(self.pos..self.end).unwrap_or_default()
    }

    pub fn is_at_end(&self) -> bool {
        self.pos >= self.end
    }

    fn past_end(&self, offset: usize, missing: u64) -> Broken {
        let fault = if self.end == self.file.len() {
            Fault::Truncated { missing }
        } else {
            Fault::Corrupt("a field is longer than the message around it")
        };
        (offset, fault)
    }

    pub fn varint(&mut self) -> Result<u64, Broken> {
        let start = self.pos;
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.bytes().first().copied();
            let byte = byte.ok_or_else(|| self.past_end(start, 1))?;
            self.pos += 1;
            if shift < 64 {
                value |= u64::from(byte & 0x7f) << shift;
            }
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err((self.pos, Fault::Corrupt("a number is longer than 10 bytes")))
    }

    fn header(&mut self) -> Result<Option<Header>, Broken> {
        if self.is_at_end() {
            return Ok(None);
        }
        let at = self.pos;
        let key = self.varint()?;
        let (number, wire) = (key >> 3, key & 7);
        if number == 0 || key > u64::from(u32::MAX) {
            return Err((at, Fault::Corrupt("a field number is out of range")));
        }
        Ok(Some(Header { number, wire, at }))
    }

    fn payload(&mut self, header: Header) -> Result<Value<'a>, Broken> {
        let size = match header.wire {
            0 => return Ok(Value::Varint(self.varint()?)),
            1 => 8,
            2 => self.varint()?,
            5 => 4,
            _ => return Err((header.at, WRONG_TYPE)),
        };
        let left = (self.end - self.pos) as u64;
        if size > left {
            return Err(self.past_end(header.at, size - left));
        }
        let start = self.pos;
        self.pos += size as usize;
        Ok(if header.wire == 2 {
            Value::Bytes(Self {
                file: self.file,
                pos: start,
                end: self.pos,
            })
        } else {
            Value::Other
        })
    }

    /// The next field, `None` at the end of the message.
    pub fn next(&mut self) -> Result<Option<Field<'a>>, Broken> {
        let Some(header) = self.header()? else {
            return Ok(None);
        };
        let value = self.payload(header)?;
        Ok(Some(Field {
            number: header.number,
            whole: self.file.get(header.at..self.pos).unwrap_or_default(),
            value,
        }))
    }
}

const WRONG_TYPE: Fault = Fault::Corrupt("a field has a type that ONNX does not give it");

/// Appends a number.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a field of bytes, text or a message.
pub(super) fn put_bytes(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    put_varint(out, number << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
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
    Function,
}

#[derive(Clone, Copy)]
enum Kind {
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

fn kind(msg: Msg, number: u64) -> Kind {
    use Kind::{Any, Bytes, Chunks, Fixed32, Fixed32s, Message, Text, Varint, Varints};
    match (msg, number) {
        (Msg::Model | Msg::TensorType | Msg::Dimension, 1)
        | (Msg::Attribute, 3 | 20)
        | (Msg::Tensor, 2 | 14)
        | (Msg::OperatorSet, 2) => Varint,
        (Msg::Model, 2 | 3)
        | (Msg::Graph | Msg::Dimension, 2)
        | (Msg::Node, 1..=4 | 7 | 8)
        | (Msg::Function, 1 | 4 | 5 | 10 | 13)
        | (Msg::Attribute, 21)
        | (Msg::Attribute | Msg::ValueInfo | Msg::Entry | Msg::OperatorSet, 1)
        | (Msg::Tensor, 8) => Text,
        (Msg::Model, 7) => Message(Msg::Graph, "graph"),
        (Msg::Model, 8) => Message(Msg::OperatorSet, "opset_import"),
        (Msg::Graph, 1) | (Msg::Function, 7) => Message(Msg::Node, "node"),
        (Msg::Graph, 5) => Message(Msg::Tensor, "initializer"),
        (Msg::Graph, 11) => Message(Msg::ValueInfo, "input"),
        (Msg::Graph, 12) => Message(Msg::ValueInfo, "output"),
        (Msg::Graph, 13) => Message(Msg::ValueInfo, "value_info"),
        (Msg::Graph, 15) => Message(Msg::SparseTensor, "sparse_initializer"),
        (Msg::Model, 25) => Message(Msg::Function, "functions"),
        (Msg::Function, 11) => Message(Msg::Attribute, "attribute_proto"),
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

struct Scan {
    place: Vec<(&'static str, usize)>,
    nodes: usize,
    parts: usize,
    graphs_deep: usize,
}

/// Checks a whole file.
pub(super) fn check(data: &[u8]) -> Result<(), Error> {
    let mut scan = Scan {
        place: Vec::new(),
        nodes: 0,
        parts: 0,
        graphs_deep: 0,
    };
    let checked = scan.message(Msg::Model, Fields::of_file(data));
    checked.map_err(|(offset, fault)| Error {
        place: scan.place(),
        offset,
        fault,
    })
}

impl Scan {
    fn place(&self) -> String {
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
        place
    }

    fn count(&mut self, offset: usize, parts: usize) -> Result<(), Broken> {
        self.parts = self.parts.saturating_add(parts);
        let what = "attributes, tensors, names and other parts";
        within(self.parts, MAX_PARTS, offset, what)
    }

    fn message(&mut self, msg: Msg, mut fields: Fields<'_>) -> Result<(), Broken> {
        // How often each field has been seen, for the place; ONNX's repeated messages are below 32.
        let mut seen = [0usize; 32];
        while let Some(header) = fields.header()? {
            let (at, wire) = (header.at, header.wire);
            let kind = kind(msg, header.number);
            let fits = match kind {
                Kind::Message(..) | Kind::Text | Kind::Bytes => wire == 2,
                Kind::Varint => wire == 0,
                Kind::Fixed32 => wire == 5,
                Kind::Varints => wire == 0 || wire == 2,
                Kind::Fixed32s => wire == 5 || wire == 2,
                Kind::Chunks | Kind::Any => matches!(wire, 0 | 1 | 2 | 5),
            };
            if !fits {
                return Err((at, WRONG_TYPE));
            }
            if let Kind::Message(_, label) = kind {
                let slot = &mut seen[(header.number & 31) as usize];
                self.place.push((label, *slot));
                *slot += 1;
            }
            let payload = fields.payload(header)?;
            let body = match payload {
                Value::Bytes(body) => Some(body),
                Value::Varint(_) | Value::Other => None,
            };
            let packed = body.map(|b| b.bytes().len());
            match (kind, body) {
                (Kind::Message(child, _), Some(body)) => {
                    self.enter(child, at, body)?;
                    self.place.pop();
                }
                (Kind::Text, Some(body)) => {
                    self.count(at, 1)?;
                    if std::str::from_utf8(body.bytes()).is_err() {
                        return Err((at, Fault::Corrupt("a name is not UTF-8 text")));
                    }
                }
                (Kind::Bytes | Kind::Chunks, _) | (Kind::Varints, None) => self.count(at, 1)?,
                (Kind::Varints, Some(mut body)) => {
                    self.count(at, packed.unwrap_or(1))?;
                    while !body.is_at_end() {
                        body.varint()?;
                    }
                }
                (Kind::Fixed32s, _) => {
                    self.count(at, packed.map_or(1, |n| n / 4))?;
                    if packed.is_some_and(|n| !n.is_multiple_of(4)) {
                        return Err((at, Fault::Corrupt("a list of floats is cut")));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn enter(&mut self, child: Msg, at: usize, body: Fields<'_>) -> Result<(), Broken> {
        self.count(at, 1)?;
        if child == Msg::Node {
            self.nodes += 1;
            within(self.nodes, MAX_NODES, at, "nodes")?;
        }
        let deeper = usize::from(child == Msg::Graph);
        self.graphs_deep += deeper;
        let what = "levels of nested subgraphs";
        within(self.graphs_deep, MAX_SUBGRAPH_DEPTH, at, what)?;
        self.message(child, body)?;
        self.graphs_deep -= deeper;
        Ok(())
    }
}

fn within(count: usize, limit: usize, at: usize, what: &'static str) -> Result<(), Broken> {
    if count <= limit {
        return Ok(());
    }
    Err((at, Fault::Limit { what, limit }))
}
