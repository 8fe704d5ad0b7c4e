//! The steps of the tour, as data: what each says, what it makes the window show, and what it
//! points at.
//!
//! The story is that of torch2trt's DLA pages: the network on either device, parts of it on the
//! DLA, and engines that run at the same time.

use crate::chart::View;
use crate::gui::command::{Command, Pick};
use crate::gui::data::looks::{Beside, Pane};
use crate::gui::data::tree_index::Node;
use crate::gui::state::State;
use crate::placement::{Device, EngineConfig, Placement, Precision, Site};

/// One step.
#[derive(Debug)]
pub struct Step {
    /// A few words.
    pub title: &'static str,
    /// What there is to see.
    pub text: &'static str,
    /// What it points at; nothing where the whole window is meant.
    pub points_at: Option<Pane>,
    /// Figures of the chart beside the text.
    pub facts: Facts,
    scene: Scene,
}

/// Figures that a step shows beside its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Facts {
    /// No figures.
    None,
    /// The estimate of the placement on screen, and the published figure of this name.
    Placement(&'static str),
    /// Engines at the same time: each deployment's sum.
    Deployments,
}

/// What runs where.
#[derive(Clone, Copy, Debug)]
enum Placed {
    All(Device),
    /// These modules on the DLA, the rest on the GPU.
    Parts(&'static [&'static str]),
}

/// What the window shows during a step.
#[derive(Clone, Copy, Debug)]
struct Scene {
    placed: Placed,
    precision: Precision,
    view: View,
    beside: Beside,
    find: bool,
    select: Option<&'static str>,
    full: bool,
    pane: Pane,
}

const START: Scene = Scene {
    placed: Placed::All(Device::Gpu),
    precision: Precision::FP16,
    view: View::Bars,
    beside: Beside::Inspector,
    find: false,
    select: None,
    full: false,
    pane: Pane::Tree,
};

const ON_DLA: Scene = Scene {
    placed: Placed::All(Device::Dla),
    ..START
};

const TWO_LAYERS: Scene = Scene {
    placed: Placed::Parts(&["layer1", "layer2"]),
    ..START
};

/// In the order of the tour.
pub const STEPS: &[Step] = &[
    Step {
        title: "ResNet-18 on a Jetson Xavier NX",
        text: "A Jetson has a GPU and one or two Deep Learning Accelerators (DLA). This tour retells \
               torch2trt's DLA benchmark: which parts of the network run where, and what that brings. \
               Your own work waits and is put back when you leave.",
        points_at: None,
        facts: Facts::None,
        scene: START,
    },
    Step {
        title: "A network is a tree of modules",
        text: "Each row is a PyTorch module or an op. The chip says where it is asked to run: solid where \
               you said so, outlined where it inherits. Click a chip, or press Space, to change it.",
        points_at: Some(Pane::Tree),
        facts: Facts::None,
        scene: START,
    },
    Step {
        title: "Everything on the GPU, FP16",
        text: "No board is needed: the estimate comes from a cost model fitted to published measurements, \
               with an error band. Hollow bars are estimated, grey ones published.",
        points_at: Some(Pane::Chart),
        facts: Facts::Placement("resnet18_fp16_gpu"),
        scene: Scene {
            pane: Pane::Chart,
            ..START
        },
    },
    Step {
        title: "Everything asked onto the DLA",
        text: "The DLA is slower here, but leaves the GPU free. The strip shows time from left to right: \
               what runs on which device, and the tensors that cross in between.",
        points_at: Some(Pane::Execution),
        facts: Facts::Placement("resnet18_fp16_dla"),
        scene: Scene {
            pane: Pane::Chart,
            ..ON_DLA
        },
    },
    Step {
        title: "Not every op may run on a DLA",
        text: "Ops that the DLA refuses fall back to the GPU. The inspector names the rule, its source and \
               what would mend it. Requested, predicted and actual devices are never mixed up.",
        points_at: Some(Pane::Side),
        facts: Facts::None,
        scene: Scene {
            select: Some("avgpool"),
            pane: Pane::Side,
            ..ON_DLA
        },
    },
    Step {
        title: "Part of it: layer1 and layer2",
        text: "torch2trt calls this device_types. A module speaks for everything below it, until a module \
               below says otherwise. Each group of DLA ops becomes one loadable.",
        points_at: Some(Pane::Execution),
        facts: Facts::Placement("resnet18_fp16_gpu_dla12"),
        scene: Scene {
            pane: Pane::Chart,
            ..TWO_LAYERS
        },
    },
    Step {
        title: "What crosses, and what it costs",
        text: "The map shows the network around the selection. Every tensor that goes from one device to \
               the other is reformatted and copied: its name, shape, bytes and estimated time.",
        points_at: Some(Pane::Side),
        facts: Facts::None,
        scene: Scene {
            select: Some("layer1"),
            beside: Beside::Map,
            pane: Pane::Side,
            ..TWO_LAYERS
        },
    },
    Step {
        title: "Where the time goes",
        text: "From all on the GPU to this placement, step by step: what leaves the GPU, what the DLA takes \
               for it, and what the crossings add. A DLA pays only where its work outweighs them.",
        points_at: Some(Pane::Side),
        facts: Facts::None,
        scene: Scene {
            beside: Beside::Time,
            pane: Pane::Side,
            ..TWO_LAYERS
        },
    },
    Step {
        title: "INT8 is the DLA's own ground",
        text: "With INT8 both devices are faster, and the crossings weigh more. Published and estimated \
               bars stand in one chart.",
        points_at: Some(Pane::Chart),
        facts: Facts::Placement("resnet18_int8_dla"),
        scene: Scene {
            precision: Precision::INT8,
            pane: Pane::Chart,
            ..ON_DLA
        },
    },
    Step {
        title: "Speed against the GPU's relief",
        text: "Each point is a placement: the more of the work is on the DLA, the further right. The line \
               is the front where nothing is better in both. A click loads a placement.",
        points_at: Some(Pane::Chart),
        facts: Facts::None,
        scene: Scene {
            precision: Precision::INT8,
            view: View::Scatter,
            pane: Pane::Chart,
            ..ON_DLA
        },
    },
    Step {
        title: "Find best",
        text: "A search proposes placements for a goal and says how far from the best they can be. \
               A board confirms them by measuring.",
        points_at: Some(Pane::Side),
        facts: Facts::None,
        scene: Scene {
            find: true,
            view: View::Scatter,
            pane: Pane::Side,
            ..START
        },
    },
    Step {
        title: "Engines at the same time",
        text: "This is what a DLA is for. Two engines on the GPU share it; one on the GPU and one on the \
               DLA run side by side; two DLA cores leave the GPU to other work. Published figures stand \
               beside the estimates.",
        points_at: Some(Pane::Chart),
        facts: Facts::Deployments,
        scene: Scene {
            precision: Precision::INT8,
            view: View::Deployments,
            full: true,
            pane: Pane::Chart,
            ..ON_DLA
        },
    },
    Step {
        title: "Take it with you",
        text: "Export writes torch2trt or TensorRT Python, a trtexec command, a report in one file, and \
               files for Model Explorer. Profile measures on this machine or over SSH. Finish puts your own \
               work back.",
        points_at: Some(Pane::Top),
        facts: Facts::None,
        scene: START,
    },
];

impl Step {
    /// What the window does for it, from whatever it shows now: going back shows the same as going on.
    pub fn commands(&self, state: &State) -> Vec<Command> {
        let scene = &self.scene;
        let (placement, config) = (scene.placed.placement(), scene.config());
        let mut commands = Vec::new();
        if *state.doc.placement() != placement || *state.config() != config {
            commands.push(Command::Load(self.title.to_owned(), placement, config));
        }
        if scene.find != state.find.open {
            commands.push(Command::FindBest);
        }
        if state.beside != Some(scene.beside) && !scene.find {
            commands.push(match scene.beside {
                Beside::Inspector => Command::ToggleInspector,
                Beside::Time => Command::ShowTime,
                Beside::Compare => Command::ShowCompare,
                Beside::Map => Command::ShowMap,
            });
        }
        let module = state.open.as_ref().zip(scene.select);
        match module.and_then(|(open, path)| open.model.modules.find(path)) {
            Some(id) => commands.push(Command::Select(Node::Module(id), Pick::Only)),
            None if state.selection.nodes.is_empty() => {}
            None => commands.push(Command::Escape),
        }
        commands.push(Command::Chart(scene.view));
        if scene.full != state.full_chart {
            commands.push(Command::FullChart);
        }
        commands.push(Command::Pane(scene.pane));
        commands
    }
}

impl Scene {
    fn config(&self) -> EngineConfig {
        EngineConfig {
            precision: self.precision,
            ..EngineConfig::default()
        }
    }
}

impl Placed {
    fn placement(self) -> Placement {
        match self {
            Self::All(device) => Placement::all(device),
            Self::Parts(modules) => {
                let on_dla = |path: &&str| (Site::Module((*path).to_owned()), Device::Dla);
                Placement {
                    overrides: modules.iter().map(on_dla).collect(),
                    ..Placement::all(Device::Gpu)
                }
            }
        }
    }
}
