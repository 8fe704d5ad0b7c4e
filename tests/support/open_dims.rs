//! A model that leaves dims of its input open.

/// One Relu on an input `x` of N×3×H×8, as protobuf bytes.
pub fn symbolic_model() -> Vec<u8> {
    fn field(number: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2, body.len() as u8];
        bytes.extend_from_slice(body);
        bytes
    }
    let varint = |number: u8, value: u8| vec![number << 3, value];
    let dims = [field(2, b"N"), varint(1, 3), field(2, b"H"), varint(1, 8)];
    let shape: Vec<u8> = dims.iter().flat_map(|d| field(1, d)).collect();
    let tensor = [varint(1, 1), field(2, &shape)].concat();
    let value = |name: &[u8]| [field(1, name), field(2, &field(1, &tensor))].concat();
    let node = [
        field(1, b"x"),
        field(2, b"y"),
        field(3, b"relu"),
        field(4, b"Relu"),
    ]
    .concat();
    let graph = [
        field(1, &node),
        field(2, b"g"),
        field(11, &value(b"x")),
        field(12, &value(b"y")),
    ]
    .concat();
    [varint(1, 8), field(8, &varint(2, 17)), field(7, &graph)].concat()
}
