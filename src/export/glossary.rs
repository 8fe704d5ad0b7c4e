//! The field's words, in one sentence each: for the window's help and for the report.

/// Words and what they mean, in the order of the alphabet.
pub const GLOSSARY: &[(&str, &str)] = &[
    (
        "actual",
        "Where an op ran in the engine that TensorRT built, read from the build itself.",
    ),
    (
        "band",
        "The range around an estimate in which the truth is expected, from errors on measurements \
         that the estimate was not fitted to.",
    ),
    (
        "calibration cache",
        "A file with the ranges of tensors that INT8 needs; TensorRT writes and reads it.",
    ),
    (
        "contention",
        "What engines cost each other at the same time: turns on the GPU, a DLA core's queue, and \
         shared memory bandwidth.",
    ),
    (
        "deployment",
        "Several engines that run at the same time, such as one on the GPU and one on a DLA core.",
    ),
    (
        "DLA",
        "Deep Learning Accelerator: a unit beside the GPU of a Jetson that runs convolutions, pooling \
         and some other ops in FP16 or INT8, and leaves the GPU free.",
    ),
    (
        "DLA core",
        "One DLA; Xavier and Orin boards have up to two. An engine uses one of them.",
    ),
    (
        "engine",
        "A network that TensorRT built for one board, precision, batch and placement.",
    ),
    (
        "fallback",
        "An op asked onto the DLA that runs on the GPU because the DLA refuses it. Strict builds fail \
         instead.",
    ),
    (
        "I/O format",
        "Element type and memory layout of an engine's inputs or outputs, such as int8:chw32; what the DLA \
         does not read or write itself costs a reformat on the GPU.",
    ),
    (
        "inherited",
        "Nothing is said at the module itself; the nearest assigned module above decides, else the \
         default device.",
    ),
    (
        "kernel",
        "One program on the GPU; TensorRT fuses several ops, such as Conv, bias and ReLU, into one.",
    ),
    (
        "loadable",
        "What TensorRT compiles a DLA subgraph into. A core holds 16 of one engine, 8 before TensorRT \
         8.5.",
    ),
    (
        "MAC",
        "Multiply-accumulate, the unit of work of convolutions and matrix products.",
    ),
    (
        "placement",
        "A default device and the modules or ops that were assigned explicitly.",
    ),
    (
        "power mode",
        "nvpmodel's choice of clocks and cores. All figures belong to one.",
    ),
    (
        "predicted",
        "Where the DLA's rules let an op run, with the reason where that is not what was asked.",
    ),
    (
        "reformat",
        "Rewriting a tensor in another layout or precision, as GPU and DLA keep tensors differently.",
    ),
    ("requested", "The device that the placement asks for an op."),
    (
        "subgraph",
        "Neighbouring DLA ops that TensorRT compiles together into one loadable.",
    ),
    (
        "transition",
        "A tensor that crosses between GPU and DLA: a reformat and a copy through memory.",
    ),
];
