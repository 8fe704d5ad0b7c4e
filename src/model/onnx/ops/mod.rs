//! What each op does to shapes and small values, one file a family.

mod attention;
mod call;
mod fact;
mod fused;
mod image;
mod index;
mod infer;
mod layout;
mod op;
mod pointwise;
mod product;
mod reduce;
mod sequence;
mod signal;
mod source;
mod window;
mod work;

pub use call::Call;
pub use fact::{Dims, Fact, axis, elements};
#[cfg(test)]
pub use op::NAMES;
pub use op::{Family, OnnxOp};
pub use product::einsum_sizes;
pub use window::{Window, kernel_of};
