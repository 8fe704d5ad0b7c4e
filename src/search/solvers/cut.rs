//! The minimum cut: exact where no subgraph has a price of its own, a lower bound elsewhere.
//!
//! A choice on the source's side of the cut is on the DLA. A tensor's copy is one capacity for
//! all its readers, by a helper node that any reader drags across. The price of a subgraph is
//! charged where it cannot be charged twice: on entering the DLA between neighbouring
//! bottlenecks, the atoms through which everything passes. On a chain that is every subgraph; on
//! other graphs the cut may be cheaper than any placement, never dearer.

use petgraph::algo::dinics;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

use crate::placement::Device;

use crate::search::problem::{Allowed, Problem};

/// Units per ms: capacities are whole picoseconds, rounded down, so that sums are exact and the
/// bound stays a bound.
const UNITS: f64 = 1e9;

/// A cut.
#[derive(Clone, Debug)]
pub struct Cut {
    /// No placement has less latency than this, ms.
    pub bound_ms: f64,
    /// The cut's devices, per choice.
    pub chosen: Vec<Device>,
}

/// Cuts with the subgraph price `subgraph_ms`, which may differ from the problem's: a higher one
/// prices a limit on subgraphs.
pub fn minimum_cut(problem: &Problem, subgraph_ms: f64) -> Cut {
    Network::new(problem, subgraph_ms).cut()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Gpu,
    Dla,
    Choice(u32),
}

struct Network<'p> {
    problem: &'p Problem,
    /// Per choice, what it costs on the GPU and on the DLA.
    alone: Vec<[u64; 2]>,
    /// What is paid whatever is chosen.
    fixed: u64,
    graph: DiGraph<(), u64>,
    nodes: Vec<NodeIndex>,
    source: NodeIndex,
    sink: NodeIndex,
}

fn units(ms: f64) -> u64 {
    (ms * UNITS) as u64
}

impl<'p> Network<'p> {
    fn new(problem: &'p Problem, subgraph_ms: f64) -> Self {
        let mut graph = DiGraph::with_capacity(
            problem.choices.len() + 2 * problem.flows.len() + 2,
            3 * problem.flows.len() + 2 * problem.choices.len(),
        );
        let (source, sink) = (graph.add_node(()), graph.add_node(()));
        let nodes = problem
            .choices
            .iter()
            .map(|a| match a {
                Allowed::Both => graph.add_node(()),
                Allowed::Gpu => sink,
                Allowed::Dla => source,
            })
            .collect();
        let mut net = Self {
            problem,
            alone: vec![[0; 2]; problem.choices.len()],
            fixed: 0,
            graph,
            nodes,
            source,
            sink,
        };
        for i in 0..problem.atoms.len() {
            let a = &problem.atoms[i];
            let side = net.side(i as u32);
            net.pay(side, Device::Gpu, units(a.gpu_ms));
            net.pay(side, Device::Dla, units(a.dla_ms + a.left_ms));
        }
        for flow in 0..problem.flows.len() {
            net.flow(flow);
        }
        net.bottlenecks(units(subgraph_ms));
        net
    }

    fn side(&self, atom: u32) -> Side {
        match self.problem.atoms[atom as usize].choice {
            None => Side::Gpu,
            Some(c) => match self.problem.choices[c as usize] {
                Allowed::Both => Side::Choice(c),
                Allowed::Gpu => Side::Gpu,
                Allowed::Dla => Side::Dla,
            },
        }
    }

    fn node(&self, side: Side) -> NodeIndex {
        match side {
            Side::Gpu => self.sink,
            Side::Dla => self.source,
            Side::Choice(c) => self.nodes[c as usize],
        }
    }

    /// `units` if `side` is on `device`.
    fn pay(&mut self, side: Side, device: Device, units: u64) {
        match side {
            Side::Choice(c) => {
                self.alone[c as usize][usize::from(device == Device::Dla)] += units;
            }
            Side::Gpu if device == Device::Gpu => self.fixed += units,
            Side::Dla if device == Device::Dla => self.fixed += units,
            Side::Gpu | Side::Dla => {}
        }
    }

    /// `units` if `from` is on the DLA and `to` on the GPU.
    fn pair(&mut self, from: Side, to: Side, units: u64) {
        if units == 0 || from == to {
            return;
        }
        match (from, to) {
            (Side::Gpu, _) | (_, Side::Dla) => {}
            (Side::Dla, to) => self.pay(to, Device::Gpu, units),
            (from, Side::Gpu) => self.pay(from, Device::Dla, units),
            (from, to) => {
                let (a, b) = (self.node(from), self.node(to));
                self.graph.add_edge(a, b, units);
            }
        }
    }

    fn flow(&mut self, flow: usize) {
        let f = &self.problem.flows[flow];
        let home = f.producer.map_or(Side::Gpu, |p| self.side(p));
        let mut readers: Vec<Side> = f.consumers.iter().map(|c| self.side(*c)).collect();
        readers.dedup();
        let (to_dla, to_gpu, to_caller) = (
            units(f.to_dla_ms),
            units(f.to_gpu_ms),
            if f.is_output {
                units(f.to_caller_ms)
            } else {
                0
            },
        );
        // The caller's copy is paid in any case; one for the GPU costs what it costs more. Where
        // it costs less, the cheaper of the two is the bound.
        let at_least = if readers.is_empty() {
            to_caller
        } else {
            to_caller.min(to_gpu)
        };
        self.pay(home, Device::Dla, at_least);
        self.any(home, &readers, Device::Gpu, to_gpu - at_least.min(to_gpu));
        self.any(home, &readers, Device::Dla, to_dla);
    }

    /// `units` if `home` is not on `device` but any of `readers` is.
    fn any(&mut self, home: Side, readers: &[Side], device: Device, units: u64) {
        let (there, here) = match device {
            Device::Gpu => (Side::Gpu, Side::Dla),
            Device::Dla => (Side::Dla, Side::Gpu),
        };
        if units == 0 || home == there || readers.is_empty() {
            return;
        }
        let pair = |net: &mut Self, reader: Side| match device {
            Device::Gpu => net.pair(home, reader, units),
            Device::Dla => net.pair(reader, home, units),
        };
        if readers.contains(&there) {
            return pair(self, there);
        }
        let others: Vec<Side> = readers
            .iter()
            .copied()
            .filter(|r| *r != here && *r != home)
            .collect();
        match others[..] {
            [] => {}
            [one] => pair(self, one),
            _ => {
                let helper = self.graph.add_node(());
                let home = self.node(home);
                match device {
                    Device::Gpu => self.graph.add_edge(home, helper, units),
                    Device::Dla => self.graph.add_edge(helper, home, units),
                };
                for r in others {
                    let r = self.node(r);
                    match device {
                        Device::Gpu => self.graph.add_edge(helper, r, u64::MAX / 4),
                        Device::Dla => self.graph.add_edge(r, helper, u64::MAX / 4),
                    };
                }
            }
        }
    }

    fn bottlenecks(&mut self, units: u64) {
        if units == 0 {
            return;
        }
        let n = self.problem.atoms.len();
        // How far the tensors made before an atom reach.
        let mut reach = vec![0u32; n + 1];
        for f in &self.problem.flows {
            if let (Some(p), Some(last)) = (f.producer, f.consumers.last()) {
                reach[p as usize + 1] = reach[p as usize + 1].max(*last);
            }
        }
        let mut before: Option<Side> = None;
        let mut far = 0;
        for i in 0..n as u32 {
            far = far.max(reach[i as usize]);
            if far > i {
                continue;
            }
            let own = self.side(i);
            match before {
                None => self.pay(own, Device::Dla, units),
                Some(b) => self.pair(own, b, units),
            }
            before = Some(own);
        }
    }

    fn cut(mut self) -> Cut {
        for (c, [gpu, dla]) in self.alone.iter().copied().enumerate() {
            if self.problem.choices[c] != Allowed::Both {
                continue;
            }
            // The cheaper device is paid anyway, which leaves at most one edge.
            self.fixed += gpu.min(dla);
            if gpu > dla {
                self.graph.add_edge(self.source, self.nodes[c], gpu - dla);
            } else if dla > gpu {
                self.graph.add_edge(self.nodes[c], self.sink, dla - gpu);
            }
        }
        let (flow, flows) = dinics(&self.graph, self.source, self.sink);
        let mut reached = vec![false; self.graph.node_count()];
        let mut stack = vec![self.source];
        reached[self.source.index()] = true;
        while let Some(v) = stack.pop() {
            let out = self
                .graph
                .edges(v)
                .filter_map(|e| (flows[e.id().index()] < *e.weight()).then_some(e.target()));
            let back = self
                .graph
                .edges_directed(v, petgraph::Direction::Incoming)
                .filter_map(|e| (flows[e.id().index()] > 0).then_some(e.source()));
            for to in out.chain(back) {
                if !std::mem::replace(&mut reached[to.index()], true) {
                    stack.push(to);
                }
            }
        }
        Cut {
            bound_ms: (self.fixed + flow) as f64 / UNITS,
            chosen: self
                .nodes
                .iter()
                .map(|v| {
                    if reached[v.index()] {
                        Device::Dla
                    } else {
                        Device::Gpu
                    }
                })
                .collect(),
        }
    }
}
