//! The small networks that a survey of a board measures. Sizes are those of real networks, but each
//! network has few layers of different shapes and repeats them: the builder's time goes into the shapes,
//! about a second each, and what is wanted are the kernels.

use bytes::Bytes;

use super::compose::{Network, Window, Wire};

/// A network of the survey.
#[derive(Clone, Copy, Debug)]
pub struct SurveyNetwork {
    /// Short name (`survey-residual`).
    pub name: &'static str,
    write: fn(&mut Network) -> Wire,
}

impl SurveyNetwork {
    /// The ONNX file.
    pub fn bytes(&self) -> Bytes {
        let mut network = Network::new(self.name);
        let out = (self.write)(&mut network);
        network.finish(&[&out])
    }
}

static NETWORKS: [SurveyNetwork; 16] = [
    SurveyNetwork {
        name: "survey-blocks",
        write: blocks,
    },
    SurveyNetwork {
        name: "survey-deep-blocks",
        write: deep_blocks,
    },
    SurveyNetwork {
        name: "survey-inverted",
        write: inverted,
    },
    SurveyNetwork {
        name: "survey-deep-inverted",
        write: deep_inverted,
    },
    SurveyNetwork {
        name: "survey-narrow-wide",
        write: narrow_wide,
    },
    SurveyNetwork {
        name: "survey-deep-narrow-wide",
        write: deep_narrow_wide,
    },
    SurveyNetwork {
        name: "survey-branches",
        write: branches,
    },
    SurveyNetwork {
        name: "survey-gates",
        write: gates,
    },
    SurveyNetwork {
        name: "survey-growing",
        write: growing,
    },
    SurveyNetwork {
        name: "survey-shuffles",
        write: shuffles,
    },
    SurveyNetwork {
        name: "survey-groups",
        write: groups,
    },
    SurveyNetwork {
        name: "survey-plain",
        write: plain,
    },
    SurveyNetwork {
        name: "survey-wide-kernels",
        write: wide_kernels,
    },
    SurveyNetwork {
        name: "survey-pyramid",
        write: pyramid,
    },
    SurveyNetwork {
        name: "survey-products",
        write: products,
    },
    SurveyNetwork {
        name: "survey-transformer",
        write: transformer,
    },
];

/// Networks of earlier surveys, whose files are still read.
static FORMER: [SurveyNetwork; 4] = [
    SurveyNetwork {
        name: "survey-residual",
        write: residual,
    },
    SurveyNetwork {
        name: "survey-separable",
        write: separable,
    },
    SurveyNetwork {
        name: "survey-bottleneck",
        write: bottleneck,
    },
    SurveyNetwork {
        name: "survey-attention",
        write: attention,
    },
];

/// A network of this survey or an earlier one, by its name.
pub fn survey_network(name: &str) -> Option<&'static SurveyNetwork> {
    NETWORKS.iter().chain(&FORMER).find(|n| n.name == name)
}

/// The networks of the survey, those that tell most first. Attention is last: TensorRT 8.5 took more than
/// a minute to build one, where the others took half a minute at most.
pub fn survey_networks() -> &'static [SurveyNetwork] {
    &NETWORKS
}

/// Blocks of one shape that follow each other: TensorRT times a shape once, however often it comes.
const REPEATS: usize = 3;

const ONE: Window = Window {
    kernel: 1,
    stride: 1,
    groups: 1,
};

fn three() -> Window {
    Window::of(3)
}

/// Global pooling and a classifier.
fn head(n: &mut Network, x: &Wire) -> Wire {
    let x = n.global_pool(x);
    let x = n.flatten(&x);
    n.gemm(&x, 1000)
}

/// A first layer of 7x7 and the pooling after it.
fn stem(n: &mut Network) -> Wire {
    let x = n.input(&[1, 3, 224, 224]);
    let x = n.conv_relu(&x, 64, Window::of(7).stride(2));
    n.max_pool(&x, three().stride(2))
}

/// A first layer that leads to a size which networks reach further on.
fn start(n: &mut Network, channels: u64, size: u64) -> Wire {
    let x = n.input(&[1, 3, size * 2, size * 2]);
    n.conv_relu(&x, channels, three().stride(2))
}

/// Two 3x3 convolutions and a shortcut.
fn block(n: &mut Network, x: &Wire, channels: u64, stride: u64) -> Wire {
    let y = n.conv_relu(x, channels, three().stride(stride));
    let y = n.conv(&y, channels, three());
    let shortcut = if stride == 1 {
        x.clone()
    } else {
        n.conv(x, channels, ONE.stride(stride))
    };
    let y = n.binary("Add", &y, &shortcut);
    n.unary("Relu", &y)
}

/// Blocks of one shape, then of another with half the size.
fn two_sizes(
    n: &mut Network,
    x: Wire,
    channels: u64,
    of: fn(&mut Network, &Wire, u64, u64) -> Wire,
) -> Wire {
    let mut x = x;
    for _ in 0..REPEATS {
        x = of(n, &x, channels, 1);
    }
    for block in 0..REPEATS {
        x = of(n, &x, channels * 2, if block == 0 { 2 } else { 1 });
    }
    head(n, &x)
}

fn blocks(n: &mut Network) -> Wire {
    let x = stem(n);
    two_sizes(n, x, 64, block)
}

fn deep_blocks(n: &mut Network) -> Wire {
    let x = start(n, 256, 14);
    two_sizes(n, x, 256, block)
}

/// 1x1, 3x3 and 1x1 convolutions and a shortcut.
fn narrow(n: &mut Network, x: &Wire, channels: u64, stride: u64) -> Wire {
    let y = n.conv_relu(x, channels, ONE);
    let y = n.conv_relu(&y, channels, three().stride(stride));
    let y = n.conv(&y, channels * 4, ONE);
    let shortcut = if stride == 1 {
        x.clone()
    } else {
        n.conv(x, channels * 4, ONE.stride(stride))
    };
    let y = n.binary("Add", &y, &shortcut);
    n.unary("Relu", &y)
}

fn narrow_wide(n: &mut Network) -> Wire {
    let x = stem(n);
    let x = n.conv_relu(&x, 256, ONE);
    two_sizes(n, x, 64, narrow)
}

fn deep_narrow_wide(n: &mut Network) -> Wire {
    let x = start(n, 1024, 14);
    two_sizes(n, x, 256, narrow)
}

/// An inverted residual: wide by 1x1, depthwise, narrow by 1x1.
fn inverse(n: &mut Network, x: &Wire, channels: u64, window: Window) -> Wire {
    let wide = x.channels() * 6;
    let y = n.conv(x, wide, ONE);
    let y = n.relu6(&y);
    let y = n.conv(&y, wide, window.groups(wide));
    let y = n.relu6(&y);
    let y = n.conv(&y, channels, ONE);
    if window.stride == 1 && x.channels() == channels {
        n.binary("Add", &y, x)
    } else {
        y
    }
}

fn inverted(n: &mut Network) -> Wire {
    let x = n.input(&[1, 3, 224, 224]);
    let x = n.conv(&x, 24, three().stride(2));
    let x = n.relu6(&x);
    let mut x = inverse(n, &x, 24, three().stride(2));
    for _ in 0..REPEATS {
        x = inverse(n, &x, 24, three());
    }
    x = inverse(n, &x, 40, Window::of(5).stride(2));
    for _ in 0..REPEATS {
        x = inverse(n, &x, 40, Window::of(5));
    }
    head(n, &x)
}

fn deep_inverted(n: &mut Network) -> Wire {
    let mut x = start(n, 80, 14);
    for _ in 0..=REPEATS {
        x = inverse(n, &x, 80, three());
    }
    x = inverse(n, &x, 176, three().stride(2));
    for _ in 0..REPEATS {
        x = inverse(n, &x, 176, three());
    }
    let x = n.conv(&x, 1280, ONE);
    let x = n.relu6(&x);
    head(n, &x)
}

/// Blocks of four branches that a concatenation joins, at two sizes.
fn branches(n: &mut Network) -> Wire {
    let x = stem(n);
    let mut x = n.max_pool(&x, three().stride(2));
    x = n.conv_relu(&x, 256, three());
    for scale in [1, 2] {
        if scale == 2 {
            let y = n.max_pool(&x, three().stride(2));
            let z = n.conv_relu(&x, 256, three().stride(2));
            x = n.concat(&[&y, &z]);
        }
        for _ in 0..REPEATS {
            let a = n.conv_relu(&x, 64 * scale, ONE);
            let b = n.conv_relu(&x, 96 * scale, ONE);
            let b = n.conv_relu(&b, 128 * scale, three());
            let c = n.conv_relu(&x, 16 * scale, ONE);
            let c = n.conv_relu(&c, 32 * scale, three());
            let d = n.max_pool(&x, three());
            let d = n.conv_relu(&d, 32 * scale, ONE);
            x = n.concat(&[&a, &b, &c, &d]);
        }
    }
    head(n, &x)
}

/// Gates by the whole image, and smooth activations.
fn gates(n: &mut Network) -> Wire {
    let x = n.input(&[1, 3, 224, 224]);
    let x = n.conv(&x, 32, three().stride(4));
    let x = n.silu(&x);
    let mut x = n.conv(&x, 48, ONE.stride(2));
    for (channels, stride) in [(48, 1), (48, 1), (48, 1), (112, 2), (112, 1), (112, 1)] {
        let wide = x.channels() * 4;
        let y = n.conv(&x, wide, ONE);
        let y = n.silu(&y);
        let y = n.conv(&y, wide, three().stride(stride).groups(wide));
        let y = n.silu(&y);
        let gate = n.global_pool(&y);
        let gate = n.conv(&gate, wide / 16, ONE);
        let gate = n.silu(&gate);
        let gate = n.conv(&gate, wide, ONE);
        let gate = n.unary("Sigmoid", &gate);
        let y = n.binary("Mul", &y, &gate);
        let y = n.conv(&y, channels, ONE);
        x = if stride == 1 {
            n.binary("Add", &y, &x)
        } else {
            y
        };
    }
    head(n, &x)
}

/// Each layer reads all before it; scale and shift stand before the convolution.
fn growing(n: &mut Network) -> Wire {
    let mut x = stem(n);
    for (size, layers) in [(28, 4), (14, 3)] {
        while x.dims[2] > size {
            let y = n.conv(&x, x.channels().max(128), ONE);
            x = n.average_pool(&y, Window::of(2).stride(2));
        }
        let mut all = vec![x];
        for _ in 0..layers {
            let y = n.concat(&all.iter().collect::<Vec<_>>());
            let (scale, shift) = (
                n.weights(&[1, y.channels(), 1, 1]),
                n.weights(&[1, y.channels(), 1, 1]),
            );
            let y = n.binary("Mul", &y, &scale);
            let y = n.binary("Add", &y, &shift);
            let y = n.unary("Relu", &y);
            let y = n.conv_relu(&y, 128, ONE);
            all.push(n.conv(&y, 32, three()));
        }
        x = n.concat(&all.iter().collect::<Vec<_>>());
    }
    head(n, &x)
}

/// Halves of the channels that take turns.
fn shuffles(n: &mut Network) -> Wire {
    let mut x = start(n, 120, 28);
    for stage in 0..2 {
        if stage == 1 {
            x = n.conv_relu(&x, 240, ONE.stride(2));
        }
        let half = x.channels() / 2;
        for _ in 0..REPEATS {
            let (kept, y) = (n.channels(&x, 0, half), n.channels(&x, half, half * 2));
            let y = n.conv_relu(&y, half, ONE);
            let y = n.conv(&y, half, three().groups(half));
            let y = n.conv_relu(&y, half, ONE);
            let y = n.concat(&[&kept, &y]);
            x = n.shuffle(&y, 2);
        }
    }
    head(n, &x)
}

/// Grouped 3x3 convolutions between 1x1 ones.
fn groups(n: &mut Network) -> Wire {
    let mut x = stem(n);
    for (channels, each, stride) in [(128, 4, 1), (384, 16, 4)] {
        for repeat in 0..REPEATS {
            let stride = if repeat == 0 { stride } else { 1 };
            let y = n.conv_relu(&x, channels, ONE);
            let window = three().stride(stride).groups(channels / each);
            let y = n.conv_relu(&y, channels, window);
            let y = n.conv(&y, channels, ONE);
            let shortcut = if repeat == 0 {
                n.conv(&x, channels, ONE.stride(stride))
            } else {
                x
            };
            let y = n.binary("Add", &y, &shortcut);
            x = n.unary("Relu", &y);
        }
    }
    head(n, &x)
}

/// Wide 3x3 convolutions one after the other, and large fully connected layers.
fn plain(n: &mut Network) -> Wire {
    let mut x = n.input(&[1, 3, 224, 224]);
    for (channels, convs) in [(64, 2), (128, 2), (256, 2), (512, 1)] {
        for _ in 0..convs {
            x = n.conv_relu(&x, channels, three());
        }
        x = n.max_pool(&x, Window::of(2).stride(2));
    }
    x = n.max_pool(&x, Window::of(2).stride(2));
    let x = n.flatten(&x);
    let x = n.gemm(&x, 1024);
    let x = n.unary("Relu", &x);
    let x = n.gemm(&x, 4096);
    let x = n.unary("Relu", &x);
    n.gemm(&x, 1000)
}

/// Convolutions of 11x11 and 5x5, and pooling that overlaps.
fn wide_kernels(n: &mut Network) -> Wire {
    let x = n.input(&[1, 3, 224, 224]);
    let x = n.conv_relu(&x, 64, Window::of(11).stride(4));
    let mut x = n.max_pool(&x, three().stride(2));
    for _ in 0..REPEATS {
        x = n.conv_relu(&x, 64, Window::of(5));
    }
    let x = n.max_pool(&x, three().stride(2));
    let mut x = n.conv_relu(&x, 192, three());
    for _ in 0..REPEATS {
        x = n.conv_relu(&x, 192, Window::of(5));
        x = n.average_pool(&x, three());
    }
    head(n, &x)
}

/// A detector's backbone and the way back up.
fn pyramid(n: &mut Network) -> Wire {
    let x = n.input(&[1, 3, 320, 320]);
    let conv = |n: &mut Network, x: &Wire, channels: u64, window: Window| {
        let x = n.conv(x, channels, window);
        n.silu(&x)
    };
    let mut x = conv(n, &x, 32, three().stride(4));
    let mut levels = Vec::new();
    for channels in [64, 128] {
        x = conv(n, &x, channels, three().stride(2));
        let half = conv(n, &x, channels / 2, ONE);
        let other = conv(n, &half, channels / 2, three());
        let both = n.binary("Add", &half, &other);
        let joined = n.concat(&[&both, &half]);
        x = conv(n, &joined, channels, ONE);
        levels.push(x.clone());
    }
    let up = n.upsample(&x);
    let joined = n.concat(&[&up, &levels[0]]);
    let x = conv(n, &joined, 64, ONE);
    let x = conv(n, &x, 64, three());
    n.conv(&x, 85, ONE)
}

/// Matrix products of many sizes.
fn products(n: &mut Network) -> Wire {
    let x = n.input(&[1, 128, 256]);
    let mut x = n.linear(&x, 256);
    for width in [768, 2048, 512] {
        x = n.linear(&x, width);
        x = n.unary("Relu", &x);
    }
    let other = n.transpose(&x, &[0, 2, 1]);
    let x = n.matmul(&x, &other);
    n.softmax(&x)
}

/// One block of a transformer's encoder.
fn encoder(n: &mut Network, x: &Wire, heads: u64) -> Wire {
    let (tokens, width) = (x.dims[1], x.dims[2]);
    let each = width / heads;
    let y = n.layer_norm(x);
    let split = |n: &mut Network, order: &[u64]| {
        let part = n.linear(&y, width);
        let part = n.reshape(&part, &[tokens, heads, each]);
        n.transpose(&part, order)
    };
    let (q, k, v) = (
        split(n, &[0, 2, 1, 3]),
        split(n, &[0, 2, 3, 1]),
        split(n, &[0, 2, 1, 3]),
    );
    let scores = n.matmul(&q, &k);
    let scale = n.number((each as f32).sqrt().recip());
    let scores = n.binary("Mul", &scores, &scale);
    let scores = n.softmax(&scores);
    let mixed = n.matmul(&scores, &v);
    let mixed = n.transpose(&mixed, &[0, 2, 1, 3]);
    let mixed = n.reshape(&mixed, &[tokens, width]);
    let mixed = n.linear(&mixed, width);
    let x = n.binary("Add", x, &mixed);
    let y = n.layer_norm(&x);
    let y = n.linear(&y, width * 4);
    let y = n.gelu(&y);
    let y = n.linear(&y, width);
    n.binary("Add", &x, &y)
}

/// A vision transformer's patches and two blocks.
fn transformer(n: &mut Network) -> Wire {
    let x = n.input(&[1, 3, 224, 224]);
    let width = 384;
    let x = n.conv(&x, width, Window::of(16).stride(16));
    let x = n.reshape(&x, &[width, 196]);
    let mut x = n.transpose(&x, &[0, 2, 1]);
    for _ in 0..2 {
        x = encoder(n, &x, 6);
    }
    let x = n.layer_norm(&x);
    n.linear(&x, 100)
}

/// Two 3x3 convolutions per block and a shortcut, at four sizes.
fn residual(n: &mut Network) -> Wire {
    let mut x = stem(n);
    for (channels, stride, blocks) in [(64, 1, 2), (128, 2, 2), (256, 2, 2), (512, 2, 2)] {
        for block in 0..blocks {
            let stride = if block == 0 { stride } else { 1 };
            let y = n.conv_relu(&x, channels, three().stride(stride));
            let y = n.conv(&y, channels, three());
            let shortcut = if stride == 1 {
                x
            } else {
                n.conv(&x, channels, ONE.stride(stride))
            };
            let y = n.binary("Add", &y, &shortcut);
            x = n.unary("Relu", &y);
        }
    }
    head(n, &x)
}

/// Inverted residuals: 1x1, depthwise 3x3 or 5x5, 1x1, at four sizes.
fn separable(n: &mut Network) -> Wire {
    let x = n.input(&[1, 3, 224, 224]);
    let x = n.conv(&x, 32, three().stride(2));
    let mut x = n.relu6(&x);
    for (channels, kernel, stride, blocks) in
        [(24, 3, 2, 2), (40, 5, 2, 2), (96, 3, 2, 3), (192, 5, 2, 3)]
    {
        for block in 0..blocks {
            let stride = if block == 0 { stride } else { 1 };
            let wide = x.channels() * 6;
            let y = n.conv(&x, wide, ONE);
            let y = n.relu6(&y);
            let y = n.conv(&y, wide, Window::of(kernel).stride(stride).groups(wide));
            let y = n.relu6(&y);
            let y = n.conv(&y, channels, ONE);
            x = if stride == 1 {
                n.binary("Add", &y, &x)
            } else {
                y
            };
        }
    }
    let x = n.conv(&x, 1280, ONE);
    let x = n.relu6(&x);
    head(n, &x)
}

/// 1x1, 3x3 and 1x1 convolutions and a shortcut, at four sizes.
fn bottleneck(n: &mut Network) -> Wire {
    let mut x = stem(n);
    for (channels, stride) in [(64, 1), (128, 2), (256, 2), (512, 2)] {
        for block in 0..2 {
            let stride = if block == 0 { stride } else { 1 };
            let y = n.conv_relu(&x, channels, ONE);
            let y = n.conv_relu(&y, channels, three().stride(stride));
            let y = n.conv(&y, channels * 4, ONE);
            let shortcut = if block == 0 {
                n.conv(&x, channels * 4, ONE.stride(stride))
            } else {
                x
            };
            let y = n.binary("Add", &y, &shortcut);
            x = n.unary("Relu", &y);
        }
    }
    head(n, &x)
}

/// A vision transformer's patches and four blocks.
fn attention(n: &mut Network) -> Wire {
    let x = n.input(&[1, 3, 224, 224]);
    let width = 512;
    let x = n.conv(&x, width, Window::of(16).stride(16));
    let x = n.reshape(&x, &[width, 196]);
    let mut x = n.transpose(&x, &[0, 2, 1]);
    for _ in 0..4 {
        x = encoder(n, &x, 8);
    }
    let x = n.layer_norm(&x);
    n.linear(&x, 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::load_bundled;

    #[test]
    fn every_network_reads_back_with_all_its_work_known() {
        for network in survey_networks() {
            let model = load_bundled(network.name).unwrap();
            assert!(model.source.structure_only, "{}", network.name);
            assert_eq!(model.batch(), Some(1), "{}", network.name);
            for op in &model.ops {
                assert!(op.cost.is_some(), "{}: {}", network.name, op.name);
            }
        }
    }
}
