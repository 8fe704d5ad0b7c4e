//! MAC cycles of NVDLA's direct convolution, after NVIDIA's public performance spreadsheet
//! (github.com/nvdla/hw, `perf/NVDLA_OpenSource_Performance.xlsx`).

/// A convolution as the hardware sees it, one image and one group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Convolution {
    /// Input channels.
    pub channels: u64,
    /// Input height and width.
    pub input: [u64; 2],
    /// Output channels.
    pub kernels: u64,
    /// Kernel height and width.
    pub kernel: [u64; 2],
    /// Vertical and horizontal stride.
    pub stride: [u64; 2],
    /// Whether the input is padded so that the output is as large as the input over the stride.
    pub padded: bool,
}

fn ceil16(v: u64) -> f64 {
    v.div_ceil(16) as f64 * 16.0
}

/// Cycles of the multiply-accumulate array, direct mode, with `macs` per clock.
///
/// A stride folds `sx x sy` pixels into channels, so that channels are counted after folding and
/// the kernel shrinks by the same factor; channels and kernels are rounded up to 16.
pub fn mac_cycles(conv: &Convolution, macs: u64) -> f64 {
    let [sy, sx] = conv.stride.map(|s| s.max(1));
    let [r, s] = conv.kernel;
    let fold = (sx * sy) as f64;
    let extent = |size: u64, kernel: u64, stride: u64| {
        let reach = if conv.padded {
            size
        } else {
            (size + 1).saturating_sub(kernel)
        };
        reach.div_ceil(stride) as f64
    };
    let [h, w] = conv.input;
    ceil16(conv.channels * sx * sy)
        * extent(h, r, sy)
        * extent(w, s, sx)
        * ceil16(conv.kernels)
        * ((r * s) as f64 / fold)
        / macs as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every direct-convolution row of the spreadsheet (nv_full, 2048 MACs) within 1 %.
    #[test]
    fn the_public_table_is_reproduced() {
        let table = include_str!("../../tests/data/nvdla_mac_cycles.csv");
        let mut rows = 0;
        for line in table.lines().filter(|l| !l.starts_with('#')).skip(1) {
            let f: Vec<&str> = line.split(',').collect();
            let n = |i: usize| f[i].parse::<u64>().unwrap();
            let conv = Convolution {
                channels: n(2),
                input: [n(3), n(4)],
                kernels: n(5),
                kernel: [n(6), n(7)],
                stride: [n(9), n(10)],
                padded: f[8] == "True",
            };
            let expected: f64 = f[11].parse().unwrap();
            let got = mac_cycles(&conv, 2048);
            assert!(
                (got / expected - 1.0).abs() < 0.01,
                "{line}: {got} instead of {expected}"
            );
            rows += 1;
        }
        assert!(rows >= 60, "{rows} rows");
    }
}
