//! What was chosen, as files other tools read.

mod document;
mod glossary;
mod model_explorer;
mod python;
mod report;
mod table;
mod tensorrt_python;
mod torch2trt;
mod trtexec;

use std::path::Path;

use crate::chart::{Chart, Look, Palette};
use crate::estimate::{Breakdown, Estimate};
use crate::figure::Figure;
use crate::model::Model;
use crate::placement::{EngineConfig, Placement, Resolved};
use crate::plan::{Buildable, Plan};
use crate::platform::{Target, parser};

pub use crate::files::{SaveError, save_atomic};
pub use document::{Document, DocumentError, ModelRef};
pub use glossary::GLOSSARY;
pub use model_explorer::{explorer_graph, explorer_node_data};
pub use report::report;
pub use table::plan_csv;
pub use tensorrt_python::tensorrt_python;
pub use torch2trt::torch2trt;
pub use trtexec::{TrtexecCommand, shell_quote, trtexec};

/// Everything an export may speak of.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The network.
    pub model: &'a Model,
    /// Where it would run.
    pub target: &'a Target,
    /// How it would be built.
    pub config: &'a EngineConfig,
    /// What was asked.
    pub placement: &'a Placement,
    /// The placement on this model.
    pub resolved: &'a Resolved,
    /// What it means.
    pub plan: &'a Plan,
    /// How fast it should be.
    pub estimate: &'a Estimate,
    /// Per op, ms where it is expected to run.
    pub op_ms: &'a [Figure],
    /// Where the time goes; `None` without an estimate.
    pub breakdown: Option<&'a Breakdown>,
}

impl Subject<'_> {
    /// A program that would only fail is not worth exporting.
    fn must_build(&self, what: &str) -> Result<(), Refused> {
        self.must_build_but_for(what, &[])
    }

    /// The same for what does not read the ONNX file, and so does not need TensorRT's parser.
    fn must_build_without_parser(&self, what: &str) -> Result<(), Refused> {
        let parser = parser::refusals(self.model, self.target.tensorrt);
        self.must_build_but_for(what, &parser)
    }

    fn must_build_but_for(&self, what: &str, allowed: &[String]) -> Result<(), Refused> {
        let Buildable::No { reasons } = &self.plan.buildable else {
            return Ok(());
        };
        let reasons = reasons.iter().filter(|r| !allowed.contains(r));
        let reasons: Vec<&str> = reasons.map(String::as_str).collect();
        if reasons.is_empty() {
            return Ok(());
        }
        Err(Refused::new(format!(
            "no {what} export of what does not build: {}",
            reasons.join("; ")
        )))
    }
}

/// A file format an export writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::VariantArray)]
pub enum Format {
    /// dlaplan's own placement document.
    Placement,
    /// Python that calls torch2trt.
    Torch2trt,
    /// Python that calls TensorRT.
    TensorrtPython,
    /// A trtexec command line.
    Trtexec,
    /// One row per op.
    Csv,
    /// A graph with its placement, for Model Explorer.
    ModelExplorer,
    /// Node data for Model Explorer's view of the ONNX file.
    NodeData,
    /// One-file report.
    Html,
    /// The chart as SVG.
    Svg,
    /// The chart as PNG.
    Png,
}

/// What is fixed about a format.
struct Spec {
    id: &'static str,
    title: &'static str,
    /// Last part of the file name offered, after the model's.
    ending: &'static str,
    /// Its bytes are text.
    text: bool,
    /// It shows the chart.
    charted: bool,
    /// Its words may not suffice for a placement.
    refuses: bool,
}

impl Format {
    /// Every format, in menu order.
    pub fn all() -> impl Iterator<Item = Self> {
        <Self as strum::VariantArray>::VARIANTS.iter().copied()
    }

    /// The one place that describes a format.
    const fn spec(self) -> Spec {
        const fn text(id: &'static str, title: &'static str, ending: &'static str) -> Spec {
            Spec {
                id,
                title,
                ending,
                text: true,
                charted: false,
                refuses: false,
            }
        }
        match self {
            Self::Placement => text("json", "Placement (JSON)", "placement.json"),
            Self::Torch2trt => Spec {
                refuses: true,
                ..text("torch2trt", "torch2trt (Python)", "torch2trt.py")
            },
            Self::TensorrtPython => Spec {
                refuses: true,
                ..text("tensorrt-python", "TensorRT (Python)", "tensorrt.py")
            },
            Self::Trtexec => Spec {
                refuses: true,
                ..text("trtexec", "trtexec command", "sh")
            },
            Self::Csv => text("csv", "Ops (CSV)", "csv"),
            Self::ModelExplorer => text(
                "model-explorer",
                "Model Explorer graph (JSON)",
                "model_explorer.json",
            ),
            Self::NodeData => text(
                "node-data",
                "Model Explorer node data (JSON)",
                "node_data.json",
            ),
            Self::Html => Spec {
                charted: true,
                ..text("html", "Report (HTML)", "html")
            },
            Self::Svg => Spec {
                charted: true,
                ..text("svg", "Chart (SVG)", "chart.svg")
            },
            Self::Png => Spec {
                text: false,
                charted: true,
                ..text("png", "Chart (PNG)", "chart.png")
            },
        }
    }

    /// The name on the command line.
    pub fn id(self) -> &'static str {
        self.spec().id
    }

    /// The name in menus.
    pub fn title(self) -> &'static str {
        self.spec().title
    }

    /// The usual file extension.
    pub fn extension(self) -> &'static str {
        let ending = self.spec().ending;
        ending.rsplit_once('.').map_or(ending, |(_, last)| last)
    }

    /// The format that a file's name ends like.
    ///
    /// # Errors
    /// None does, or several.
    pub fn of_file(path: &Path) -> Result<Self, String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.to_lowercase();
        let ends = |ending: &str| name.ends_with(&format!(".{ending}"));
        if let Some(format) = Self::all().find(|f| ends(f.spec().ending)) {
            return Ok(format);
        }
        let like: Vec<Self> = Self::all().filter(|f| ends(f.extension())).collect();
        match &like[..] {
            [format] => Ok(*format),
            // A plain `.json` is dlaplan's own.
            several if let Some(own) = several.iter().find(|f| f.id() == f.extension()) => Ok(*own),
            [] => {
                let mut known: Vec<&str> = Self::all().map(Self::extension).collect();
                known.dedup();
                let known = known.join(", .");
                Err(format!(
                    "{}: no export ends so; known: .{known}",
                    path.display()
                ))
            }
            several => {
                let ids: Vec<&str> = several.iter().map(|f| f.id()).collect();
                let ids = ids.join(" or ");
                Err(format!("{}: this may be {ids}", path.display()))
            }
        }
    }

    /// The file name offered first.
    pub fn file_name(self, model: &str) -> String {
        format!("{model}.{}", self.spec().ending)
    }

    /// It is text a clipboard can hold.
    pub fn is_text(self) -> bool {
        self.spec().text
    }

    /// It shows the chart.
    pub fn is_charted(self) -> bool {
        self.spec().charted
    }

    /// Why the format cannot express a placement, if so.
    pub fn refusal(self, subject: &Subject<'_>) -> Option<Refused> {
        self.spec()
            .refuses
            .then(|| {
                self.render(subject, &Chart::default(), &Palette::Light.into())
                    .err()
            })
            .flatten()
    }

    /// The file's bytes; pictures in a look.
    ///
    /// # Errors
    /// The format cannot express the placement, and why.
    pub fn render(
        self,
        subject: &Subject<'_>,
        chart: &Chart,
        look: &Look,
    ) -> Result<Vec<u8>, Refused> {
        let text = match self {
            Self::Placement => Document::new(subject).to_json(),
            Self::Torch2trt => torch2trt(subject)?,
            Self::TensorrtPython => tensorrt_python(subject)?,
            Self::Trtexec => trtexec(subject)?.script(),
            Self::Csv => plan_csv(subject),
            Self::ModelExplorer => explorer_graph(subject),
            Self::NodeData => explorer_node_data(subject),
            Self::Html => report(subject, chart)?,
            Self::Svg => chart.svg(look.clone())?,
            Self::Png => return Ok(chart.png(look.clone())?),
        };
        Ok(text.into_bytes())
    }
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let ids = || Self::all().map(Self::id).collect::<Vec<_>>().join(", ");
        Self::all()
            .find(|f| f.id() == s)
            .ok_or_else(|| format!("format {s:?} is not one of {}", ids()))
    }
}

/// Why a format cannot express a placement, with the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The format has no words for it.
    #[error("{0}")]
    Inexpressible(String),
    /// The chart could not be drawn.
    #[error(transparent)]
    Chart(#[from] crate::chart::DrawError),
}

impl Refused {
    fn new(text: impl Into<String>) -> Self {
        Self::Inexpressible(text.into())
    }
}
