//! Positions of ops, tensors and modules in a model's lists.

use serde::Serialize;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        pub struct $name(pub u32);

        impl $name {
            /// As an index.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

id! {
    /// Position of an op in `Model::ops`, which is execution order.
    OpId
}
id! {
    /// Position of a tensor in `Model::tensors`.
    TensorId
}
id! {
    /// Position of a module in the tree's pre-order; 0 is the root.
    ModuleId
}

impl ModuleId {
    /// The network itself, path "".
    pub const ROOT: Self = Self(0);
}
