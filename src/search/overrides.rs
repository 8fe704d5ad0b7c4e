//! The placement a person would write: fewest explicit entries that ask for the same devices.

use std::ops::Add;

use crate::model::{Model, ModuleId};
use crate::placement::{Device, Placement, Site};

/// What the placement must ask of each op; `None` where it does not matter, because the DLA
/// refuses the op and GPU fallback is on.
pub type Required = [Option<Device>];

/// Price of a way to write a placement, most important first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Price {
    entries: u64,
    /// Entries on containers PyTorch never calls, which torch2trt ignores.
    never_called: u32,
    /// Ops asked onto the DLA in vain.
    in_vain: u32,
}

impl Add for Price {
    type Output = Self;

    fn add(self, o: Self) -> Self {
        Self {
            entries: self.entries + o.entries,
            never_called: self.never_called + o.never_called,
            in_vain: self.in_vain + o.in_vain,
        }
    }
}

const DEVICES: [Device; 2] = [Device::Gpu, Device::Dla];

/// The placement with the fewest entries that gives every op its required device.
/// With `whole_modules` an op gets an entry of its own only where there is no other way.
///
/// Exact, by dynamic programming over the tree: per module and inherited device, the least price
/// of its subtree. Of equally short placements it prefers the one with the GPU as default, then
/// entries on modules torch2trt calls, then fewer ops asked onto the DLA in vain, then modules
/// over ops.
pub fn fewest_overrides(model: &Model, required: &Required, whole_modules: bool) -> Placement {
    let tree = &model.modules;
    let op_entry = if whole_modules { 1 << 20 } else { 1 };
    // Per module: the subtree's price when the module runs on each device.
    let mut inside = vec![[Price::default(); 2]; tree.len()];
    let entry = |m: ModuleId| Price {
        entries: 1,
        never_called: u32::from(tree.get(m).never_called),
        in_vain: 0,
    };
    for i in (0..tree.len()).rev() {
        let id = ModuleId(i as u32);
        let module = tree.get(id);
        for (d, device) in DEVICES.into_iter().enumerate() {
            let mut price = Price::default();
            for op in &module.ops {
                match required.get(op.index()).copied().flatten() {
                    None => price.in_vain += u32::from(device == Device::Dla),
                    Some(r) if r != device => price.entries += op_entry,
                    Some(_) => {}
                }
            }
            for c in &module.children {
                let [own, other] = [inside[c.index()][d], inside[c.index()][1 - d]];
                price = price + own.min(entry(*c) + other);
            }
            inside[i][d] = price;
        }
    }
    let [gpu, dla] = inside[0];
    let default = if gpu <= dla { Device::Gpu } else { Device::Dla };
    let mut placement = Placement::all(default);
    let mut device = vec![default; tree.len()];
    for (id, module) in tree.iter() {
        if let Some(parent) = module.parent {
            let inherited = device[parent.index()];
            let d = usize::from(inherited == Device::Dla);
            let [stay, say] = [inside[id.index()][d], entry(id) + inside[id.index()][1 - d]];
            // A tie is one op's entry against its module's.
            let has_entries = stay.entries > 0;
            device[id.index()] = if say < stay || (say == stay && has_entries) {
                placement
                    .overrides
                    .insert(Site::Module(module.path.to_string()), inherited.other());
                inherited.other()
            } else {
                inherited
            };
        }
        let own = device[id.index()];
        for op in &module.ops {
            if let Some(r) = required.get(op.index()).copied().flatten()
                && r != own
            {
                placement
                    .overrides
                    .insert(Site::Op(model.op(*op).name.to_string()), r);
            }
        }
    }
    placement
}
