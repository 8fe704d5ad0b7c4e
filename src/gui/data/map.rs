//! The network around the selection, as a value: its ops or stretches of them, in layers, and the
//! tensors between them. Bounded, whatever the network and the selection are.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::estimate::Estimate;
use crate::figure::Figure;
use crate::model::{Model, OpId, TensorId};
use crate::placement::Device;
use crate::plan::Plan;

/// Selected ops that are drawn one by one; more become stretches on one device.
const SINGLY: usize = 24;
/// Most boxes of the selection.
const MOST_SELECTED: usize = 40;
/// Most boxes in all.
pub const MOST: usize = 60;
/// Most tensors drawn, and most readers of one tensor that are looked at.
const MOST_LINKS: usize = 240;
const MOST_READERS: usize = 64;

/// What a box stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// One op, or a stretch of ops on one device, in execution order.
    Ops(Vec<OpId>),
    /// An input of the network.
    Input(TensorId),
    /// An output of the network.
    Output(TensorId),
}

/// A box of the map.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// What it stands for.
    pub what: What,
    /// Where it is expected to run; `None` for the caller's memory.
    pub device: Option<Device>,
    /// Its DLA subgraph.
    pub subgraph: Option<u32>,
    /// It is selected.
    pub selected: bool,
    /// Its layer from the top: below everything that it reads.
    pub layer: usize,
    /// Its place in the layer, from the left.
    pub column: usize,
}

/// A tensor from one box to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// The box that makes it, by its index in [`Map::places`].
    pub from: usize,
    /// The box that reads it.
    pub to: usize,
    /// The tensor.
    pub tensor: TensorId,
    /// Its number in [`Map::crossings`], where it crosses devices.
    pub crossing: Option<usize>,
}

/// A tensor that crosses devices on the map.
#[derive(Clone, Debug, PartialEq)]
pub struct Crossing {
    /// The tensor.
    pub tensor: TensorId,
    /// Where it is made.
    pub from: Device,
    /// Where it is read.
    pub to: Device,
    /// Bytes at the engine's precision and batch; 0 where the shape is unknown.
    pub bytes: u64,
    /// The reformat and copy, ms.
    pub ms: Figure,
    /// It is an input or output of the network.
    pub boundary: bool,
    /// The ops that make and read it, as far as they are on the map.
    pub ops: Vec<OpId>,
}

/// The map.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map {
    /// Its boxes.
    pub places: Vec<Place>,
    /// The tensors between them.
    pub links: Vec<Link>,
    /// Tensors that cross devices, in execution order.
    pub crossings: Vec<Crossing>,
    /// Boxes per layer.
    pub layers: Vec<usize>,
    /// Selected ops that are not on the map.
    pub left_out: usize,
    /// Neighbours that are not on the map.
    pub more_around: usize,
}

impl Map {
    /// The map around selected ops, which are in execution order and named once each.
    pub fn around(model: &Model, plan: &Plan, estimate: &Estimate, selected: &[OpId]) -> Self {
        let mut map = Self::default();
        let mut place_of: HashMap<OpId, usize> = HashMap::new();
        map.selection(plan, selected, &mut place_of);
        map.neighbours(model, plan, &mut place_of);
        map.connect(model, &place_of);
        map.cross(model, plan, estimate);
        map.lay_out(model);
        map
    }

    fn add(&mut self, what: What, device: Option<Device>, subgraph: Option<u32>, selected: bool) {
        self.places.push(Place {
            what,
            device,
            subgraph,
            selected,
            layer: 0,
            column: 0,
        });
    }

    /// The selected ops, one box each where they are few, else one for each stretch on a device.
    fn selection(&mut self, plan: &Plan, selected: &[OpId], place_of: &mut HashMap<OpId, usize>) {
        let singly = selected.len() <= SINGLY;
        for op in selected {
            let home = (plan.predicted[op.index()], plan.subgraph_of[op.index()]);
            let last = self.places.len().checked_sub(1);
            if let Some(last) = last.filter(|_| !singly)
                && let place = &mut self.places[last]
                && (place.device, place.subgraph) == (Some(home.0), home.1)
                && let What::Ops(ops) = &mut place.what
            {
                ops.push(*op);
                place_of.insert(*op, last);
                continue;
            }
            if self.places.len() == MOST_SELECTED {
                self.left_out = selected.len() - place_of.len();
                break;
            }
            place_of.insert(*op, self.places.len());
            self.add(What::Ops(vec![*op]), Some(home.0), home.1, true);
        }
    }

    /// What the selection reads, and what reads it.
    fn neighbours(&mut self, model: &Model, plan: &Plan, place_of: &mut HashMap<OpId, usize>) {
        let selected: Vec<OpId> = self.ops().collect();
        let mut seen_outside: Vec<OpId> = Vec::new();
        let mut ends: Vec<(TensorId, bool)> = Vec::new();
        for op in selected {
            let op = model.op(op);
            for tensor in &op.inputs {
                match model.tensor(*tensor).producer {
                    Some(maker) => seen_outside.push(maker),
                    None => ends.push((*tensor, true)),
                }
            }
            for tensor in &op.outputs {
                let t = model.tensor(*tensor);
                seen_outside.extend(t.consumers.iter().take(MOST_READERS));
                self.more_around += t.consumers.len().saturating_sub(MOST_READERS);
                if t.is_output {
                    ends.push((*tensor, false));
                }
            }
            // The bound holds for what is looked at too.
            if seen_outside.len() > 16 * MOST {
                break;
            }
        }
        seen_outside.sort_unstable();
        seen_outside.dedup();
        seen_outside.retain(|op| !place_of.contains_key(op));
        for op in seen_outside {
            if self.places.len() >= MOST {
                self.more_around += 1;
                continue;
            }
            place_of.insert(op, self.places.len());
            let device = plan.predicted[op.index()];
            let subgraph = plan.subgraph_of[op.index()];
            self.add(What::Ops(vec![op]), Some(device), subgraph, false);
        }
        ends.sort_unstable_by_key(|(t, input)| (!input, t.index()));
        ends.dedup();
        for (tensor, input) in ends {
            if self.places.len() >= MOST {
                self.more_around += 1;
                continue;
            }
            let what = if input {
                What::Input(tensor)
            } else {
                What::Output(tensor)
            };
            self.add(what, None, None, false);
        }
    }

    fn ops(&self) -> impl Iterator<Item = OpId> + '_ {
        let ops = self.places.iter().map(|p| match &p.what {
            What::Ops(ops) => &ops[..],
            What::Input(_) | What::Output(_) => &[],
        });
        ops.flatten().copied()
    }

    fn connect(&mut self, model: &Model, place_of: &HashMap<OpId, usize>) {
        let mut links: BTreeMap<(usize, usize, usize), TensorId> = BTreeMap::new();
        let mut add = |from: usize, to: usize, tensor: TensorId| {
            if from != to && links.len() < MOST_LINKS {
                links.insert((from, to, tensor.index()), tensor);
            }
        };
        let inputs: HashMap<TensorId, usize> = self.ends(|what| match what {
            What::Input(t) => Some(*t),
            What::Ops(_) | What::Output(_) => None,
        });
        let outputs: HashMap<TensorId, usize> = self.ends(|what| match what {
            What::Output(t) => Some(*t),
            What::Ops(_) | What::Input(_) => None,
        });
        let around =
            |from: usize, to: usize| self.places[from].selected || self.places[to].selected;
        for (at, place) in self.places.iter().enumerate() {
            let What::Ops(ops) = &place.what else {
                continue;
            };
            for op in ops {
                for tensor in &model.op(*op).inputs {
                    let maker = model.tensor(*tensor).producer;
                    let from = match maker {
                        Some(maker) => place_of.get(&maker),
                        None => inputs.get(tensor),
                    };
                    if let Some(from) = from.filter(|from| around(**from, at)) {
                        add(*from, at, *tensor);
                    }
                }
                for tensor in &model.op(*op).outputs {
                    if let Some(to) = outputs.get(tensor).filter(|to| around(at, **to)) {
                        add(at, *to, *tensor);
                    }
                }
            }
        }
        self.links = links
            .into_iter()
            .map(|((from, to, _), tensor)| Link {
                from,
                to,
                tensor,
                crossing: None,
            })
            .collect();
    }

    fn ends(&self, of: impl Fn(&What) -> Option<TensorId>) -> HashMap<TensorId, usize> {
        let places = self.places.iter().enumerate();
        places
            .filter_map(|(i, p)| Some((of(&p.what)?, i)))
            .collect()
    }

    /// Numbers the links that cross devices.
    fn cross(&mut self, model: &Model, plan: &Plan, estimate: &Estimate) {
        let mut of_tensor: HashMap<TensorId, Vec<usize>> = HashMap::new();
        for link in &self.links {
            of_tensor.entry(link.tensor).or_default();
        }
        for (i, transition) in plan.transitions.iter().enumerate() {
            if let Some(all) = of_tensor.get_mut(&transition.tensor) {
                all.push(i);
            }
        }
        let mut numbers: BTreeMap<usize, usize> = BTreeMap::new();
        let mut crossing_of: Vec<Option<usize>> = Vec::new();
        for link in &self.links {
            let (from, to) = (&self.places[link.from], &self.places[link.to]);
            let here = of_tensor.get(&link.tensor).into_iter().flatten();
            let mut here = here.filter(|i| {
                let t = &plan.transitions[**i];
                let into = t.to == Device::Dla && to.subgraph == Some(t.subgraph);
                let out = t.from == Device::Dla && from.subgraph == Some(t.subgraph);
                // Inside one subgraph nothing crosses.
                (into || out) && from.subgraph != to.subgraph
            });
            let first = here.next().copied();
            crossing_of.push(first);
            numbers.extend(first.map(|i| (i, 0)));
        }
        for (n, (_, number)) in numbers.iter_mut().enumerate() {
            *number = n;
        }
        for (link, crossing) in self.links.iter_mut().zip(crossing_of) {
            link.crossing = crossing.and_then(|i| numbers.get(&i).copied());
        }
        self.crossings = numbers
            .keys()
            .map(|i| {
                let t = &plan.transitions[*i];
                let tensor = model.tensor(t.tensor);
                let readers = tensor.consumers.iter().take(MOST_READERS).copied();
                Crossing {
                    tensor: t.tensor,
                    from: t.from,
                    to: t.to,
                    bytes: t.bytes,
                    ms: estimate.transition_figure(*i),
                    boundary: t.boundary,
                    ops: tensor.producer.into_iter().chain(readers).collect(),
                }
            })
            .collect();
    }

    /// Layers by the longest way from above; columns in execution order.
    fn lay_out(&mut self, model: &Model) {
        let order = |place: &Place| match &place.what {
            What::Ops(ops) => ops.first().map_or(0, |o| o.index() + 1),
            What::Input(_) => 0,
            What::Output(_) => model.ops.len() + 1,
        };
        // Stretches may read each other: as many rounds as there are boxes end any circle.
        for _ in 0..self.places.len() {
            let mut moved = false;
            for link in &self.links {
                let (from, to) = (&self.places[link.from], &self.places[link.to]);
                if order(from) < order(to) && to.layer <= from.layer {
                    self.places[link.to].layer = self.places[link.from].layer + 1;
                    moved = true;
                }
            }
            if !moved {
                break;
            }
        }
        // An input stands right above what reads it.
        for at in 0..self.places.len() {
            let readers = self.links.iter().filter(|l| l.from == at);
            let nearest = readers.map(|l| self.places[l.to].layer).min();
            if !self.places[at].selected
                && let Some(nearest) = nearest
                && !self.links.iter().any(|l| l.to == at)
            {
                self.places[at].layer = nearest.saturating_sub(1);
            }
        }
        let deepest = self.places.iter().map(|p| p.layer).max();
        self.layers = vec![0; deepest.map_or(0, |d| d + 1)];
        let mut sorted: Vec<usize> = (0..self.places.len()).collect();
        sorted.sort_by_key(|i| order(&self.places[*i]));
        for at in sorted {
            let place = &mut self.places[at];
            place.column = self.layers[place.layer];
            self.layers[place.layer] += 1;
        }
    }

    /// Name of a box for the screen.
    pub fn title(&self, at: usize, model: &Model) -> Arc<str> {
        match &self.places[at].what {
            What::Ops(ops) => match &ops[..] {
                [] => "".into(),
                [op] => Arc::clone(&model.op(*op).name),
                [first, .., last] => format!(
                    "{} ops, {} to {}",
                    ops.len(),
                    model.op(*first).name,
                    model.op(*last).name
                )
                .into(),
            },
            What::Input(t) => format!("input {}", model.tensor(*t).name).into(),
            What::Output(t) => format!("output {}", model.tensor(*t).name).into(),
        }
    }
}
