//! Resampling of images and regions.

use super::call::Call;
use super::fact::{Dims, Fact, MAX_DIM, axis};
use super::op::OnnxOp as O;
use crate::model::onnx::attrs::Data;

impl Call<'_> {
    /// Shapes of ops on images.
    pub fn image(&self) -> Option<Fact> {
        let t = self.first_dtype();
        Some(match self.op {
            O::Resize | O::Upsample => self.resize()?,
            O::MaxRoiPool => {
                let size = self.attrs.ints("pooled_shape")?;
                let [h, w] = size else { return None };
                let size = |v: i64| u64::try_from(v).ok();
                Fact::new(
                    t,
                    Some(vec![
                        self.input(1)?.dim(0),
                        self.input(0)?.dim(1),
                        size(*h),
                        size(*w),
                    ]),
                )
            }
            O::RoiAlign => {
                let size = |name| u64::try_from(self.attrs.int_or(name, 1)).ok();
                Fact::new(
                    t,
                    Some(vec![
                        self.input(1)?.dim(0),
                        self.input(0)?.dim(1),
                        size("output_height"),
                        size("output_width"),
                    ]),
                )
            }
            O::AffineGrid => {
                let size = self.sizes(1)?;
                let mut dims = vec![*size.first()?];
                dims.extend_from_slice(size.get(2..)?);
                dims.push(Some(size.len().checked_sub(2)? as u64));
                Fact::new(t, Some(dims))
            }
            O::GridSample => {
                let (x, grid) = (self.dims(0)?, self.dims(1)?);
                let mut dims: Dims = x.get(..2)?.to_vec();
                dims.extend_from_slice(grid.get(1..grid.len().checked_sub(1)?)?);
                Fact::new(t, Some(dims))
            }
            _ => return None,
        })
    }

    fn resize(&self) -> Option<Fact> {
        let dims = self.dims(0)?;
        let t = self.first_dtype();
        let unknown = || Some(Fact::new(t, Some(vec![None; dims.len()])));
        let axes: Vec<usize> = match self.attrs.ints("axes") {
            Some(axes) if !axes.is_empty() => axes
                .iter()
                .map(|a| axis(*a, dims.len()))
                .collect::<Option<_>>()?,
            _ => (0..dims.len()).collect(),
        };
        let mut out = dims.clone();
        if let Some(sizes) = self.input(3) {
            let sizes = match sizes.data.as_deref() {
                Some(Data::Int(v)) => v.clone(),
                _ => return unknown(),
            };
            if sizes.len() != axes.len() {
                return None;
            }
            let policy = self.attrs.text("keep_aspect_ratio_policy");
            if let Some(larger) = match policy {
                Some("not_larger") => Some(false),
                Some("not_smaller") => Some(true),
                _ => None,
            } {
                let ratio =
                    |(at, size): (&usize, &Option<i64>)| Some((*size)? as f64 / out[*at]? as f64);
                let ratios: Option<Vec<f64>> = axes.iter().zip(&sizes).map(ratio).collect();
                let Some(ratios) = ratios else {
                    return unknown();
                };
                let scale = ratios
                    .into_iter()
                    .reduce(if larger { f64::max } else { f64::min })?;
                for at in axes {
                    // Half is rounded up.
                    let size = (scale * out[at]? as f64 + 0.5).floor();
                    out[at] = (0.0..=MAX_DIM as f64)
                        .contains(&size)
                        .then_some(size as u64);
                }
                return Some(Fact::new(t, Some(out)));
            }
            for (at, size) in axes.iter().zip(sizes) {
                out[*at] = size.and_then(|s| u64::try_from(s).ok());
            }
            return Some(Fact::new(t, Some(out)));
        }
        let Some(scales) = self.scales() else {
            return unknown();
        };
        if scales.len() != axes.len() {
            return None;
        }
        // What a region of interest cuts out is scaled, and not the input.
        let region = self.attrs.text("coordinate_transformation_mode");
        if region == Some("tf_crop_and_resize") {
            for at in axes {
                out[at] = None;
            }
            return Some(Fact::new(t, Some(out)));
        }
        for (at, scale) in axes.iter().zip(scales) {
            if let Some(d) = out[*at] {
                // Scales are f32 in the file and the specification's product is floored.
                let size = (d as f32 * scale as f32).floor();
                if !(0.0..=MAX_DIM as f32).contains(&size) {
                    return None;
                }
                out[*at] = Some(size as u64);
            }
        }
        Some(Fact::new(t, Some(out)))
    }
}
