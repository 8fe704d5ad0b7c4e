//! TensorRT's objects as safe types. Lifetimes hold TensorRT's order: nothing outlives what made
//! it, and the logger outlives everything.

use std::ffi::{CStr, CString, c_char, c_void};
use std::marker::PhantomData;
use std::ptr::NonNull;

use super::calibrate::Batches;
use super::calls::{self, Callback, Function, Interface, Object};
use super::cuda::Stream;
use super::library::{Libraries, Unavailable};
use super::slots;
use crate::engine::log::Level;
use crate::placement::{Device, IoFormat, IoLayout, IoType};

/// Receives TensorRT's messages, from any thread.
pub type Sink = Box<dyn Fn(Level, &str) + Send + Sync>;

/// A call that this version of TensorRT does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("TensorRT of this version has no {0}")]
pub struct Absent(pub &'static str);

fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: TensorRT's strings end in NUL and live as long as their object, which the caller
    // holds.
    unsafe { CStr::from_ptr(pointer) }
        .to_string_lossy()
        .into_owned()
}

fn refused(what: &str) -> Unavailable {
    Unavailable::Refused(format!("{what} failed; the log above says why"))
}

/// `ILogger`.
pub struct Logger<'l> {
    callback: Box<Callback<Sink>>,
    libraries: &'l Libraries,
}

// SAFETY: TensorRT calls a logger from any thread, the sink is Send and Sync, and making builders
// and runtimes with one logger from several threads is allowed.
unsafe impl Send for Logger<'_> {}
// SAFETY: as above.
unsafe impl Sync for Logger<'_> {}

extern "C" fn on_log(this: Object, severity: i32, message: *const c_char) {
    // SAFETY: `this` is the callback of a live Logger; TensorRT's message ends in NUL.
    let (sink, message) = unsafe { (&*Callback::<Sink>::user_of(this), text(message)) };
    // A panic must not cross into C++.
    let _caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        sink(Level::from_severity(severity), &message);
    }));
}

extern "C" fn logger_interface(_this: Object) -> Interface {
    Interface::first(c"ILogger")
}

impl<'l> Logger<'l> {
    /// A logger that hands every message to `sink`.
    pub fn new(libraries: &'l Libraries, sink: Sink) -> Result<Self, Unavailable> {
        calls::use_version(libraries.version)?;
        let callback = Callback::new(
            sink,
            logger_interface as Function,
            slots::ON_LOG_DELETE,
            &[(slots::ON_LOG, on_log as Function)],
        );
        let logger = Self {
            callback: callback.ok_or_else(|| refused("making the logger"))?,
            libraries,
        };
        libraries.register_plugins(logger.callback.raw());
        Ok(logger)
    }

    /// `createInferBuilder`.
    pub fn builder(&self) -> Result<Builder<'_>, Unavailable> {
        let libraries = self.libraries;
        // SAFETY: the entry point is libnvinfer's, the logger is live.
        let raw = unsafe { libraries.create_builder()(self.callback.raw(), libraries.number) };
        Ok(Builder {
            raw: NonNull::new(raw).ok_or_else(|| refused("creating the builder"))?,
            logger: self,
        })
    }

    /// `createInferRuntime`. TensorRT 8.6.0 crashes here without CUDA, so open a CUDA device first.
    pub fn runtime(&self) -> Result<Runtime<'_>, Unavailable> {
        let libraries = self.libraries;
        // SAFETY: the entry point is libnvinfer's, the logger is live.
        let raw = unsafe { libraries.create_runtime()(self.callback.raw(), libraries.number) };
        Ok(Runtime {
            raw: NonNull::new(raw).ok_or_else(|| refused("creating the runtime"))?,
            _logger: PhantomData,
        })
    }
}

macro_rules! owned {
    ($(#[$doc:meta])* $name:ident, $delete:ident) => {
        $(#[$doc])*
        pub struct $name<'a> {
            raw: NonNull<c_void>,
            _owner: PhantomData<&'a ()>,
        }

        impl $name<'_> {
            fn new(raw: Object, what: &str) -> Result<Self, Unavailable> {
                Ok(Self {
                    raw: NonNull::new(raw).ok_or_else(|| refused(what))?,
                    _owner: PhantomData,
                })
            }
        }

        impl Drop for $name<'_> {
            fn drop(&mut self) {
                // SAFETY: owned; deleted once, before what made it.
                unsafe { calls::$delete(self.raw.as_ptr()) }
            }
        }
    };
}

/// `IBuilder`.
pub struct Builder<'l> {
    raw: NonNull<c_void>,
    logger: &'l Logger<'l>,
}

impl Drop for Builder<'_> {
    fn drop(&mut self) {
        // SAFETY: owned; networks and configs borrow from it.
        unsafe { calls::builder_delete(self.raw.as_ptr()) }
    }
}

impl Builder<'_> {
    /// `getNbDLACores`.
    pub fn dla_cores(&self) -> u32 {
        // SAFETY: live builder.
        unsafe { calls::builder_dla_cores(self.raw.as_ptr()) }.max(0) as u32
    }

    /// `createNetworkV2`: explicit batch, weakly typed where the version has a choice.
    pub fn network(&self) -> Result<Network<'_>, Unavailable> {
        // `kEXPLICIT_BATCH`, which TensorRT 10 and later take for granted.
        let flags = u32::from(calls::major() == 8);
        // SAFETY: live builder.
        let raw = unsafe { calls::builder_network(self.raw.as_ptr(), flags) };
        Network::new(raw, "creating the network")
    }

    /// `createBuilderConfig`.
    pub fn config(&self) -> Result<BuilderConfig<'_>, Unavailable> {
        // SAFETY: live builder.
        let raw = unsafe { calls::builder_config(self.raw.as_ptr()) };
        BuilderConfig::new(raw, "creating the builder config")
    }

    /// Reads a serialised ONNX model into a network; the parser must live as long as the network
    /// is used, since weights stay in its memory.
    pub fn parse<'n>(
        &'n self,
        network: &'n Network<'_>,
        onnx: &[u8],
        path: Option<&CStr>,
    ) -> Result<Parser<'n>, ParseError> {
        let create = self.logger.libraries.create_parser()?;
        let (logger, number) = (
            self.logger.callback.raw(),
            self.logger.libraries.parser_number,
        );
        // SAFETY: network and logger are live.
        let raw = unsafe { create(network.raw.as_ptr(), logger, number) };
        let parser = Parser::new(raw, "creating the ONNX parser")?;
        let path = path.map_or(std::ptr::null(), CStr::as_ptr);
        // SAFETY: the bytes live through the call, which copies what it keeps.
        let ok = unsafe {
            calls::parser_parse(parser.raw.as_ptr(), onnx.as_ptr().cast(), onnx.len(), path)
        };
        if ok {
            return Ok(parser);
        }
        // SAFETY: live parser; indexes below the count; errors live as long as the parser.
        let errors = unsafe {
            (0..calls::parser_errors(parser.raw.as_ptr()).clamp(0, 20))
                .map(|i| calls::parser_error(parser.raw.as_ptr(), i))
                .filter(|error| !error.is_null())
                .map(|error| (calls::error_node(error), text(calls::error_text(error))))
                .collect()
        };
        Err(ParseError::Nodes(errors))
    }

    /// `buildSerializedNetwork`.
    pub fn build(
        &self,
        network: &Network<'_>,
        config: &BuilderConfig<'_>,
    ) -> Result<HostMemory<'_>, Unavailable> {
        // SAFETY: all live, and made by this builder.
        let raw = unsafe {
            calls::builder_build(self.raw.as_ptr(), network.raw.as_ptr(), config.raw.as_ptr())
        };
        HostMemory::new(raw, "building the engine")
    }
}

/// The ONNX parser's refusal.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// No parser.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// Nodes it cannot take: node number (-1 for none) and message.
    #[error("TensorRT's ONNX parser: {}", list(.0))]
    Nodes(Vec<(i32, String)>),
}

fn list(errors: &[(i32, String)]) -> String {
    let items: Vec<String> = errors
        .iter()
        .map(|(node, message)| match node {
            0.. => format!("node {node}: {message}"),
            _ => message.clone(),
        })
        .collect();
    if items.is_empty() {
        "no reason given; the log above says more".to_owned()
    } else {
        items.join("; ")
    }
}

owned!(
    /// `IHostMemory`.
    HostMemory,
    memory_delete
);
owned!(
    /// `nvonnxparser::IParser`, which keeps the weights of its network.
    Parser,
    parser_delete
);
owned!(
    /// `INetworkDefinition`.
    Network,
    network_delete
);
owned!(
    /// `IBuilderConfig`.
    BuilderConfig,
    config_delete
);
owned!(
    /// `ITimingCache`.
    TimingCache,
    timing_cache_delete
);

impl HostMemory<'_> {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: data and size describe memory that lives as long as the object.
        unsafe {
            let data = calls::memory_data(self.raw.as_ptr());
            if data.is_null() {
                return &[];
            }
            std::slice::from_raw_parts(data.cast(), calls::memory_size(self.raw.as_ptr()))
        }
    }
}

/// `ILayer` of a network.
#[derive(Clone, Copy)]
pub struct Layer<'n> {
    raw: Object,
    _network: PhantomData<&'n ()>,
}

/// `ITensor` of a network.
#[derive(Clone, Copy)]
pub struct Tensor<'n> {
    raw: Object,
    _network: PhantomData<&'n ()>,
}

impl Network<'_> {
    /// Layers in network order.
    pub fn layers(&self) -> impl Iterator<Item = Layer<'_>> {
        // SAFETY: live network; indexes below the count.
        let count = unsafe { calls::network_layers(self.raw.as_ptr()) };
        (0..count)
            // SAFETY: as above.
            .map(|i| unsafe { calls::network_layer(self.raw.as_ptr(), i) })
            .filter(|raw| !raw.is_null())
            .map(|raw| Layer {
                raw,
                _network: PhantomData,
            })
    }

    /// Inputs in network order.
    pub fn inputs(&self) -> impl Iterator<Item = Tensor<'_>> {
        // SAFETY: live network; indexes below the count.
        let count = unsafe { calls::network_inputs(self.raw.as_ptr()) };
        (0..count)
            // SAFETY: as above.
            .map(|i| unsafe { calls::network_input(self.raw.as_ptr(), i) })
            .filter(|raw| !raw.is_null())
            .map(|raw| Tensor {
                raw,
                _network: PhantomData,
            })
    }
}

impl Network<'_> {
    /// Outputs in network order.
    pub fn outputs(&self) -> impl Iterator<Item = Tensor<'_>> {
        // SAFETY: live network; indexes below the count.
        let count = unsafe { calls::network_outputs(self.raw.as_ptr()) };
        (0..count)
            // SAFETY: as above.
            .map(|i| unsafe { calls::network_output(self.raw.as_ptr(), i) })
            .filter(|raw| !raw.is_null())
            .map(|raw| Tensor {
                raw,
                _network: PhantomData,
            })
    }
}

impl<'n> Layer<'n> {
    /// `getName`.
    pub fn name(self) -> String {
        // SAFETY: the network is live.
        text(unsafe { calls::layer_name(self.raw) })
    }

    /// `getType`, as the number of `LayerType`.
    pub fn kind(self) -> i32 {
        // SAFETY: the network is live.
        unsafe { calls::layer_type(self.raw) }
    }

    /// `getMetadata` (8.6 and later), where the parser names the ONNX node; empty before.
    pub fn metadata(self) -> String {
        // SAFETY: the network is live.
        text(unsafe { calls::layer_metadata(self.raw) })
    }

    /// Input tensors that are there.
    pub fn inputs(self) -> impl Iterator<Item = Tensor<'n>> {
        // SAFETY: the network is live; indexes below the count.
        let count = unsafe { calls::layer_inputs(self.raw) };
        (0..count)
            // SAFETY: as above.
            .map(move |i| unsafe { calls::layer_input(self.raw, i) })
            .filter(|raw| !raw.is_null())
            .map(|raw| Tensor {
                raw,
                _network: PhantomData,
            })
    }

    /// Output tensors.
    pub fn outputs(self) -> impl Iterator<Item = Tensor<'n>> {
        // SAFETY: the network is live; indexes below the count.
        let count = unsafe { calls::layer_outputs(self.raw) };
        (0..count)
            // SAFETY: as above.
            .map(move |i| unsafe { calls::layer_output(self.raw, i) })
            .filter(|raw| !raw.is_null())
            .map(|raw| Tensor {
                raw,
                _network: PhantomData,
            })
    }
}

impl Tensor<'_> {
    /// `getName`.
    pub fn name(self) -> String {
        // SAFETY: the network is live.
        text(unsafe { calls::tensor_name(self.raw) })
    }

    /// `getDimensions`; -1 where dynamic.
    pub fn dims(self) -> Vec<i64> {
        // SAFETY: the network is live.
        unsafe { calls::tensor_dims(self.raw) }
    }

    /// `getType`.
    pub fn element(self) -> ElementType {
        // SAFETY: the network is live.
        ElementType::from_number(unsafe { calls::tensor_type(self.raw) })
    }

    /// `setType` and `setAllowedFormats`, for an input or output of the network.
    pub fn set_format(self, format: IoFormat) -> Result<(), Absent> {
        let element = match format.element() {
            IoType::Fp32 => 0,
            IoType::Fp16 => 1,
            IoType::Int8 => 2,
        };
        let layout = match format.layout() {
            IoLayout::Chw => 0,
            IoLayout::Chw4 => 3,
            IoLayout::Chw16 => 4,
            IoLayout::Chw32 => 5,
            IoLayout::DlaLinear => 9,
            IoLayout::DlaHwc4 => 10,
        };
        // SAFETY: the network is live.
        unsafe {
            calls::tensor_set_type(self.raw, element).ok_or(Absent(
                "choice of I/O types; those of the file's inputs and outputs are the engine's",
            ))?;
            calls::tensor_set_formats(self.raw, 1 << layout);
        }
        Ok(())
    }

    /// `setDynamicRange`.
    pub fn set_dynamic_range(self, low: f32, high: f32) -> Result<bool, Absent> {
        // SAFETY: the network is live.
        unsafe { calls::tensor_set_range(self.raw, low, high) }.ok_or(Absent(
            "dynamic ranges; INT8 comes from Q/DQ nodes in the file",
        ))
    }
}

/// `BuilderFlag`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// `kFP16`.
    Fp16,
    /// `kINT8`.
    Int8,
    /// `kGPU_FALLBACK`.
    GpuFallback,
    /// Clears `kTF32`.
    NoTf32,
}

/// `MemoryPoolType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "TensorRT's names")]
pub enum Pool {
    Workspace = 0,
    DlaManagedSram = 1,
    DlaLocalDram = 2,
    DlaGlobalDram = 3,
}

/// `TacticSource` bits of libraries that TensorRT opens by itself.
pub const CUBLAS: u32 = 1;
/// cuBLASLt.
pub const CUBLAS_LT: u32 = 1 << 1;
/// cuDNN.
pub const CUDNN: u32 = 1 << 2;

/// `ProfilingVerbosity::kDETAILED`.
const DETAILED: i32 = 2;
/// `LayerInformationFormat::kJSON`.
const JSON: i32 = 1;
/// `TensorIOMode::kINPUT`.
const INPUT: i32 = 1;

/// `DeviceType`.
fn device_type(device: Device) -> i32 {
    i32::from(device == Device::Dla)
}

impl BuilderConfig<'_> {
    /// Sets a flag.
    pub fn set_flag(&mut self, flag: Flag) -> Result<(), Absent> {
        let config = self.raw.as_ptr();
        let weakly_typed = calls::major() < 11;
        let number = match flag {
            Flag::Fp16 if weakly_typed => 0,
            Flag::Int8 if weakly_typed => 1,
            Flag::Fp16 | Flag::Int8 => {
                return Err(Absent(
                    "precision flags: networks are strongly typed, so export the file in the \
                     precision you want",
                ));
            }
            Flag::GpuFallback => 3,
            Flag::NoTf32 => {
                let tf32 = if calls::major() == 8 { 7 } else { 6 };
                // SAFETY: live config.
                unsafe { calls::config_clear_flag(config, tf32) };
                return Ok(());
            }
        };
        // SAFETY: live config.
        unsafe { calls::config_set_flag(config, number) };
        Ok(())
    }

    /// `setDefaultDeviceType`.
    pub fn set_default_device(&mut self, device: Device) {
        // SAFETY: live config.
        unsafe {
            calls::config_default_device(self.raw.as_ptr(), device_type(device));
        }
    }

    /// `setDeviceType`.
    pub fn set_device(&mut self, layer: Layer<'_>, device: Device) {
        // SAFETY: live config and layer.
        unsafe {
            calls::config_device(self.raw.as_ptr(), layer.raw, device_type(device));
        }
    }

    /// `canRunOnDLA`. Only ask on a machine with DLA cores; elsewhere TensorRT logs an error.
    pub fn can_run_on_dla(&self, layer: Layer<'_>) -> bool {
        // SAFETY: live config and layer.
        unsafe { calls::config_can_run_on_dla(self.raw.as_ptr(), layer.raw) }
    }

    /// `setDLACore`.
    pub fn set_dla_core(&mut self, core: u32) {
        // SAFETY: live config.
        unsafe { calls::config_dla_core(self.raw.as_ptr(), core as i32) }
    }

    /// `setMemoryPoolLimit`.
    pub fn set_pool(&mut self, pool: Pool, bytes: u64) {
        // SAFETY: live config.
        unsafe { calls::config_pool(self.raw.as_ptr(), pool as i32, bytes as usize) }
    }

    /// `setProfilingVerbosity(kDETAILED)`.
    pub fn set_detailed(&mut self) {
        // SAFETY: live config.
        unsafe { calls::config_verbosity(self.raw.as_ptr(), DETAILED) }
    }

    /// `getTacticSources`.
    pub fn tactic_sources(&self) -> u32 {
        // SAFETY: live config.
        unsafe { calls::config_tactic_sources(self.raw.as_ptr()) }
    }

    /// `setTacticSources`; whether TensorRT took it.
    pub fn set_tactic_sources(&mut self, sources: u32) -> bool {
        // SAFETY: live config.
        unsafe { calls::config_set_tactic_sources(self.raw.as_ptr(), sources) }
    }

    /// Uses a timing cache, empty when `data` is; `None` when TensorRT refuses the bytes.
    pub fn timing_cache(&self, data: &[u8]) -> Option<TimingCache<'_>> {
        // SAFETY: live config; the bytes live through the call.
        let raw = unsafe {
            calls::config_create_timing_cache(self.raw.as_ptr(), data.as_ptr().cast(), data.len())
        };
        let cache = TimingCache::new(raw, "making the timing cache").ok()?;
        // SAFETY: both live.
        unsafe { calls::config_set_timing_cache(self.raw.as_ptr(), cache.raw.as_ptr(), false) }
            .then_some(cache)
    }

    /// `setInt8Calibrator`. The calibrator must outlive the build.
    pub fn set_calibrator<B: Batches>(&mut self, calibrator: &Calibrator<B>) -> Result<(), Absent> {
        // SAFETY: both live.
        unsafe { calls::config_calibrator(self.raw.as_ptr(), calibrator.callback.raw()) }
            .ok_or(NO_CALIBRATION)
    }
}

impl TimingCache<'_> {
    /// `serialize`.
    pub fn serialize(&self) -> Result<HostMemory<'_>, Unavailable> {
        // SAFETY: live cache.
        let raw = unsafe { calls::timing_cache_serialize(self.raw.as_ptr()) };
        HostMemory::new(raw, "serialising the timing cache")
    }
}

const NO_CALIBRATION: Absent = Absent("INT8 calibration; INT8 comes from Q/DQ nodes in the file");

/// `IInt8EntropyCalibrator2` over [`Batches`].
pub struct Calibrator<B: Batches> {
    callback: Box<Callback<B>>,
}

extern "C" fn on_batch<B: Batches>(
    this: Object,
    bindings: *mut *mut c_void,
    names: *mut *const c_char,
    count: i32,
) -> bool {
    let count = count.max(0) as usize;
    // SAFETY: `this` is the callback of a live Calibrator and TensorRT passes `count` names and places.
    let (batches, bindings, names) = unsafe {
        (
            &mut *Callback::<B>::user_of(this),
            std::slice::from_raw_parts_mut(bindings, count),
            std::slice::from_raw_parts(names, count),
        )
    };
    let names: Vec<String> = names.iter().map(|n| text(*n)).collect();
    let more = std::panic::AssertUnwindSafe(|| batches.next(&names, bindings));
    std::panic::catch_unwind(more).unwrap_or(false)
}

extern "C" fn on_read<B: Batches>(this: Object, length: *mut usize) -> *const c_void {
    // SAFETY: `this` is the callback of a live Calibrator; `length` is TensorRT's.
    unsafe {
        let batches = &mut *Callback::<B>::user_of(this);
        let cache = batches.cache().unwrap_or_default();
        *length = cache.len();
        if cache.is_empty() {
            std::ptr::null()
        } else {
            cache.as_ptr().cast()
        }
    }
}

extern "C" fn on_write<B: Batches>(this: Object, data: *const c_void, length: usize) {
    // SAFETY: `this` is the callback of a live Calibrator; TensorRT's bytes live through the call.
    let (batches, data) = unsafe {
        (
            &mut *Callback::<B>::user_of(this),
            std::slice::from_raw_parts(data.cast::<u8>(), length),
        )
    };
    let keep = std::panic::AssertUnwindSafe(|| batches.keep(data));
    let _caught = std::panic::catch_unwind(keep);
}

extern "C" fn batch_size(_this: Object) -> i32 {
    1
}

/// `kENTROPY_CALIBRATION_2`.
extern "C" fn algorithm(_this: Object) -> i32 {
    2
}

extern "C" fn calibrator_interface(_this: Object) -> Interface {
    Interface::first(c"IInt8EntropyCalibrator2")
}

impl<B: Batches> Calibrator<B> {
    /// A calibrator over batches.
    pub fn new(batches: B) -> Result<Self, Absent> {
        let callback = Callback::new(
            batches,
            calibrator_interface as Function,
            slots::ON_CALIBRATOR_DELETE,
            &[
                (slots::ON_BATCH_SIZE, batch_size as Function),
                (slots::ON_BATCH, on_batch::<B> as Function),
                (slots::ON_READ, on_read::<B> as Function),
                (slots::ON_WRITE, on_write::<B> as Function),
                (slots::ON_ALGORITHM, algorithm as Function),
            ],
        );
        Ok(Self {
            callback: callback.ok_or(NO_CALIBRATION)?,
        })
    }

    /// The batches, after the build.
    pub fn batches(&mut self) -> &mut B {
        self.callback.user_mut()
    }
}

/// `IRuntime`.
pub struct Runtime<'l> {
    raw: NonNull<c_void>,
    _logger: PhantomData<&'l ()>,
}

impl Drop for Runtime<'_> {
    fn drop(&mut self) {
        // SAFETY: owned; engines borrow from it.
        unsafe { calls::runtime_delete(self.raw.as_ptr()) }
    }
}

impl Runtime<'_> {
    /// `getNbDLACores`.
    pub fn dla_cores(&self) -> u32 {
        // SAFETY: live runtime.
        unsafe { calls::runtime_dla_cores(self.raw.as_ptr()) }.max(0) as u32
    }

    /// `setDLACore`: an engine does not remember the core it was built for.
    pub fn set_dla_core(&mut self, core: u32) {
        // SAFETY: live runtime.
        unsafe { calls::runtime_dla_core(self.raw.as_ptr(), core as i32) }
    }

    /// `deserializeCudaEngine`.
    pub fn deserialize(&self, plan: &[u8]) -> Result<Engine<'_>, Unavailable> {
        // SAFETY: live runtime; TensorRT copies what it keeps.
        let raw = unsafe {
            let (data, none) = (plan.as_ptr().cast(), std::ptr::null_mut());
            calls::runtime_deserialize(self.raw.as_ptr(), data, plan.len(), none)
        };
        Engine::new(raw, "loading the engine")
    }
}

owned!(
    /// `ICudaEngine`.
    Engine,
    engine_delete
);
owned!(
    /// `IExecutionContext`.
    ExecutionContext,
    context_delete
);

/// Element type of an engine's tensor: the number of `DataType` and bytes per element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "TensorRT's names")]
pub enum ElementType {
    Float,
    Half,
    Int8,
    Int32,
    Bool,
    Uint8,
    Bf16,
    Int64,
    Other,
}

impl ElementType {
    fn from_number(n: i32) -> Self {
        match n {
            0 => Self::Float,
            1 => Self::Half,
            2 => Self::Int8,
            3 => Self::Int32,
            4 => Self::Bool,
            5 => Self::Uint8,
            7 => Self::Bf16,
            8 => Self::Int64,
            _ => Self::Other,
        }
    }

    /// Floating-point numbers.
    pub fn is_float(self) -> bool {
        matches!(self, Self::Float | Self::Half | Self::Bf16)
    }

    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            Self::Int64 => 8,
            Self::Float | Self::Int32 => 4,
            Self::Half | Self::Bf16 => 2,
            Self::Int8 | Self::Bool | Self::Uint8 | Self::Other => 1,
        }
    }
}

/// An input or output of an engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// Name, as in the ONNX file.
    pub name: String,
    /// Input, or output.
    pub is_input: bool,
    /// Element type.
    pub element: ElementType,
    /// Dims; all fixed, since engines are built so.
    pub dims: Vec<i64>,
    /// Bytes on the device, padding of packed formats included.
    pub bytes: usize,
    /// Elements are packed or rows padded (`kCHW16`, `kDLA_LINEAR` and so on), so that values are
    /// not in plain order.
    pub packed: bool,
}

impl Binding {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.dims.iter().map(|d| (*d).max(0) as usize).product()
    }
}

/// Elements that a tensor takes in memory, padding included. `vector` is the dim of which so many
/// elements stand side by side; a stride counts groups of them.
fn span(dims: &[i64], strides: &[i64], vector: Option<(usize, usize)>) -> usize {
    let size = |n: &i64| usize::try_from(*n).unwrap_or(0);
    let side = vector.map_or(1, |(_, side)| side);
    let groups = dims.iter().enumerate().map(|(i, d)| match vector {
        Some((axis, side)) if axis == i => size(d).div_ceil(side),
        _ => size(d),
    });
    let packed = groups.clone().fold(1, usize::saturating_mul);
    // The outermost dim reaches farthest, except where it is 1 and its stride says nothing.
    let reached = groups
        .zip(strides)
        .map(|(n, stride)| n.saturating_mul(size(stride)));
    let most = reached.fold(packed, usize::max);
    let empty = dims.contains(&0);
    if empty { 0 } else { most.saturating_mul(side) }
}

impl Engine<'_> {
    /// Inputs and outputs, as a context of this engine wants them in memory.
    pub fn bindings(&self, context: &ExecutionContext<'_>) -> Vec<Binding> {
        let raw = self.raw.as_ptr();
        // SAFETY: live engine; indexes below the count; names end in NUL and live as long.
        unsafe {
            (0..calls::engine_tensors(raw))
                .map(|i| {
                    let name = calls::engine_tensor_name(raw, i);
                    let element = ElementType::from_number(calls::engine_tensor_type(raw, name));
                    let dims = calls::engine_tensor_dims(raw, name);
                    let components = calls::engine_tensor_components(raw, name);
                    let axis = calls::engine_tensor_axis(raw, name);
                    let vector = (components > 1 && axis >= 0)
                        .then_some((axis as usize, components as usize));
                    let strides = calls::context_strides(context.raw.as_ptr(), name);
                    let elements = span(&dims, &strides, vector);
                    let plain: usize = dims.iter().map(|d| (*d).max(0) as usize).product();
                    Binding {
                        name: text(name),
                        is_input: calls::engine_tensor_mode(raw, name) == INPUT,
                        bytes: elements.saturating_mul(element.bytes()),
                        element,
                        dims,
                        packed: vector.is_some() || elements != plain,
                    }
                })
                .collect()
        }
    }

    /// Device memory a context needs, bytes.
    pub fn device_memory(&self) -> u64 {
        // SAFETY: live engine.
        unsafe { calls::engine_device_memory(self.raw.as_ptr()) }.max(0) as u64
    }

    /// The engine inspector's JSON.
    pub fn inspect(&self) -> Option<String> {
        // SAFETY: live engine; the text is copied before the inspector goes.
        unsafe {
            let inspector = NonNull::new(calls::engine_inspector(self.raw.as_ptr()))?;
            let json = text(calls::inspector_information(inspector.as_ptr(), JSON));
            calls::inspector_delete(inspector.as_ptr());
            (!json.is_empty()).then_some(json)
        }
    }

    /// `createExecutionContext`.
    pub fn context(&self) -> Result<ExecutionContext<'_>, Unavailable> {
        // SAFETY: live engine.
        let raw = unsafe { calls::engine_context(self.raw.as_ptr()) };
        ExecutionContext::new(raw, "creating the execution context (device memory?)")
    }
}

impl ExecutionContext<'_> {
    /// `setTensorAddress`. The memory must live while the context runs.
    ///
    /// # Safety
    /// `address` is device memory of at least the binding's size, alive for every later enqueue.
    pub unsafe fn set_address(
        &mut self,
        name: &str,
        address: *mut c_void,
    ) -> Result<(), Unavailable> {
        let name = CString::new(name).map_err(|e| Unavailable::Refused(e.to_string()))?;
        // SAFETY: live context; the caller vouches for the address.
        if unsafe { calls::context_address(self.raw.as_ptr(), name.as_ptr(), address) } {
            Ok(())
        } else {
            Err(refused("setTensorAddress"))
        }
    }

    /// `enqueueV3`.
    pub fn enqueue(&self, stream: &Stream<'_>) -> Result<(), Unavailable> {
        // SAFETY: live context and stream; addresses were set by `set_address`.
        if unsafe { calls::context_enqueue(self.raw.as_ptr(), stream.raw()) } {
            Ok(())
        } else {
            Err(refused("enqueueV3"))
        }
    }

    /// Runs `work` with a profiler attached; the times reported, in order of the calls. Takes the
    /// context: a profiler cannot be detached again.
    pub fn profiled<T>(
        self,
        work: impl FnOnce(&Self) -> T,
    ) -> Result<(T, Vec<(String, f32)>), Unavailable> {
        let mut profiler = Callback::new(
            Vec::new(),
            profiler_interface as Function,
            slots::ON_LAYER_TIME_DELETE,
            &[(slots::ON_LAYER_TIME, on_layer as Function)],
        )
        .ok_or_else(|| refused("making the profiler"))?;
        // SAFETY: the profiler outlives the context.
        unsafe { calls::context_profiler(self.raw.as_ptr(), profiler.raw()) };
        let done = work(&self);
        drop(self);
        Ok((done, std::mem::take(profiler.user_mut())))
    }
}

type Rows = Vec<(String, f32)>;

extern "C" fn on_layer(this: Object, layer: *const c_char, ms: f32) {
    // SAFETY: `this` is the callback of `profiled`; TensorRT reports from the thread that enqueues
    // or waits.
    unsafe { (*Callback::<Rows>::user_of(this)).push((text(layer), ms)) }
}

extern "C" fn profiler_interface(_this: Object) -> Interface {
    Interface::first(c"IProfiler")
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn memory_of_a_tensor_counts_its_padding() {
        let image = [2, 3, 224, 224];
        let plain = 2 * 3 * 224 * 224;
        assert_eq!(span(&image, &[150_528, 50_176, 224, 1], None), plain);
        // kDLA_LINEAR in INT8: rows of 224 bytes take 256.
        let rows = [3 * 224 * 256, 224 * 256, 256, 1];
        assert_eq!(span(&image, &rows, None), 2 * 3 * 224 * 256);
        // kCHW32: three channels take 32.
        let strides = [50_176, 50_176, 224, 1];
        assert_eq!(span(&image, &strides, Some((1, 32))), 2 * 32 * 224 * 224);
        // Without strides, what the dims say.
        assert_eq!(span(&image, &[], Some((1, 4))), 2 * 4 * 224 * 224);
        assert_eq!(span(&[0, 3], &[3, 1], None), 0);
        assert_eq!(span(&[], &[], None), 1);
    }
}
