//! What each op does to shapes and small values, one file a family.

mod call;
mod fact;
mod image;
mod index;
mod infer;
mod layout;
mod op;
mod pointwise;
mod product;
mod reduce;
mod sequence;
mod source;
mod window;

pub use call::Call;
pub use fact::{Dims, Fact, axis, elements};
pub use op::{Family, OnnxOp};
pub use product::einsum_sizes;
pub use window::{Window, kernel_of};
