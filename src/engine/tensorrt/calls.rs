//! TensorRT's methods as functions: one per call, through the table of slots, no decisions. Every
//! pointer is a live TensorRT object of the named kind.

use std::ffi::{CStr, c_char, c_void};
use std::sync::OnceLock;

use super::library::Unavailable;
use super::slots::{self, Column, Slot, Whose};
use crate::engine::tensorrt::version::Version;

pub type Object = *mut c_void;

/// Largest number of dims in `Dims`.
pub const MAX_DIMS: usize = 8;

static COLUMN: OnceLock<Column> = OnceLock::new();

/// Takes the slots of a version for the rest of the process.
///
/// # Errors
/// The version is outside the table, or the process uses another one already.
pub fn use_version(loaded: Version) -> Result<Column, Unavailable> {
    let column = Column::of(loaded).ok_or(Unavailable::Version { loaded })?;
    if *COLUMN.get_or_init(|| column) == column {
        Ok(column)
    } else {
        Err(Unavailable::Version { loaded })
    }
}

/// The function in a slot, with the object it takes: the object itself or its implementation.
///
/// # Safety
/// `object` is a live object that has the method.
unsafe fn method(object: Object, slot: Slot) -> Option<(*const c_void, Object)> {
    let place = COLUMN.get().and_then(|c| slot.at(*c))?;
    // SAFETY: an object begins with its vtable, and the implementation's address follows it; the
    // table says that the vtable reaches to `place`.
    unsafe {
        let this = match slot.whose {
            Whose::Own => object,
            Whose::Impl => *object.cast::<Object>().add(1),
        };
        let vtable = *this.cast::<*const *const c_void>();
        Some((*vtable.add(place), this))
    }
}

/// Calls a method; `None` where the version has none.
macro_rules! call {
    ($object:expr, $slot:ident ( $($value:expr => $kind:ty),* ) $(-> $out:ty)?) => {
        // SAFETY: the caller vouches for the object, the table for the slot; the function has this
        // type in every version of the table.
        unsafe {
            method($object, slots::$slot).map(|(function, this)| {
                let function = std::mem::transmute::<
                    *const c_void,
                    unsafe extern "C" fn(Object $(, $kind)*) $(-> $out)?,
                >(function);
                function(this $(, $value)*)
            })
        }
    };
}

macro_rules! calls {
    ($($name:ident = $slot:ident ( $($value:ident: $kind:ty),* ) $(-> $out:ty, $none:expr)?;)*) => {
        $(pub unsafe fn $name(object: Object $(, $value: $kind)*) $(-> $out)? {
            calls!(@end call!(object, $slot($($value => $kind),*) $(-> $out)?) $(, $none)?)
        })*
    };
    (@end $call:expr, $none:expr) => { $call.unwrap_or($none) };
    (@end $call:expr) => { $call.unwrap_or(()) };
}

const NULL: Object = std::ptr::null_mut();
const NO_TEXT: *const c_char = std::ptr::null();

calls! {
    builder_delete = BUILDER_DELETE();
    builder_dla_cores = BUILDER_DLA_CORES() -> i32, 0;
    builder_network = BUILDER_NETWORK(flags: u32) -> Object, NULL;
    builder_config = BUILDER_CONFIG() -> Object, NULL;
    builder_build = BUILDER_BUILD(network: Object, config: Object) -> Object, NULL;

    memory_delete = MEMORY_DELETE();
    memory_data = MEMORY_DATA() -> Object, NULL;
    memory_size = MEMORY_SIZE() -> usize, 0;

    parser_delete = PARSER_DELETE();
    parser_parse = PARSER_PARSE(data: *const c_void, size: usize, path: *const c_char) -> bool, false;
    parser_errors = PARSER_ERRORS() -> i32, 0;
    parser_error = PARSER_ERROR(index: i32) -> Object, NULL;
    error_node = ERROR_NODE() -> i32, -1;
    error_text = ERROR_TEXT() -> *const c_char, NO_TEXT;

    network_delete = NETWORK_DELETE();
    network_layers = NETWORK_LAYERS() -> i32, 0;
    network_layer = NETWORK_LAYER(index: i32) -> Object, NULL;
    network_inputs = NETWORK_INPUTS() -> i32, 0;
    network_input = NETWORK_INPUT(index: i32) -> Object, NULL;

    network_outputs = NETWORK_OUTPUTS() -> i32, 0;
    network_output = NETWORK_OUTPUT(index: i32) -> Object, NULL;

    layer_name = LAYER_NAME() -> *const c_char, NO_TEXT;
    layer_type = LAYER_TYPE() -> i32, -1;
    layer_metadata = LAYER_METADATA() -> *const c_char, NO_TEXT;
    layer_outputs = LAYER_OUTPUTS() -> i32, 0;
    layer_output = LAYER_OUTPUT(index: i32) -> Object, NULL;
    layer_inputs = LAYER_INPUTS() -> i32, 0;
    layer_input = LAYER_INPUT(index: i32) -> Object, NULL;

    tensor_name = TENSOR_NAME() -> *const c_char, NO_TEXT;
    tensor_type = TENSOR_TYPE() -> i32, -1;
    tensor_set_formats = TENSOR_SET_FORMATS(formats: u32);

    config_delete = CONFIG_DELETE();
    config_set_flag = CONFIG_SET_FLAG(flag: i32);
    config_clear_flag = CONFIG_CLEAR_FLAG(flag: i32);
    config_default_device = CONFIG_DEFAULT_DEVICE(device: i32);
    config_device = CONFIG_DEVICE(layer: Object, device: i32);
    config_can_run_on_dla = CONFIG_CAN_RUN_ON_DLA(layer: Object) -> bool, false;
    config_dla_core = CONFIG_DLA_CORE(core: i32);
    config_pool = CONFIG_POOL(pool: i32, bytes: usize);
    config_verbosity = CONFIG_VERBOSITY(verbosity: i32);
    config_tactic_sources = CONFIG_TACTIC_SOURCES() -> u32, 0;
    config_set_tactic_sources = CONFIG_SET_TACTIC_SOURCES(sources: u32) -> bool, false;
    config_create_timing_cache =
        CONFIG_CREATE_TIMING_CACHE(data: *const c_void, size: usize) -> Object, NULL;
    config_set_timing_cache =
        CONFIG_SET_TIMING_CACHE(cache: Object, ignore_mismatch: bool) -> bool, false;
    timing_cache_delete = TIMING_CACHE_DELETE();
    timing_cache_serialize = TIMING_CACHE_SERIALIZE() -> Object, NULL;

    runtime_delete = RUNTIME_DELETE();
    runtime_dla_cores = RUNTIME_DLA_CORES() -> i32, 0;
    runtime_dla_core = RUNTIME_DLA_CORE(core: i32);
    // Up to 8.6 a plug-in factory follows, which must be null; later versions read two arguments.
    runtime_deserialize = RUNTIME_DESERIALIZE(data: *const c_void, size: usize, factory: Object) -> Object, NULL;

    engine_delete = ENGINE_DELETE();
    engine_tensors = ENGINE_TENSORS() -> i32, 0;
    engine_tensor_name = ENGINE_TENSOR_NAME(index: i32) -> *const c_char, NO_TEXT;
    engine_tensor_mode = ENGINE_TENSOR_MODE(name: *const c_char) -> i32, 0;
    engine_tensor_type = ENGINE_TENSOR_TYPE(name: *const c_char) -> i32, -1;
    engine_tensor_components = ENGINE_TENSOR_COMPONENTS(name: *const c_char) -> i32, 1;
    engine_tensor_axis = ENGINE_TENSOR_AXIS(name: *const c_char) -> i32, -1;
    engine_inspector = ENGINE_INSPECTOR() -> Object, NULL;
    engine_context = ENGINE_CONTEXT() -> Object, NULL;
    inspector_delete = INSPECTOR_DELETE();
    inspector_information = INSPECTOR_JSON(format: i32) -> *const c_char, NO_TEXT;

    context_delete = CONTEXT_DELETE();
    context_address = CONTEXT_ADDRESS(name: *const c_char, address: *mut c_void) -> bool, false;
    context_enqueue = CONTEXT_ENQUEUE(stream: *mut c_void) -> bool, false;
    context_profiler = CONTEXT_PROFILER(profiler: Object);
}

/// `setDynamicRange`; `None` where the version has none.
pub unsafe fn tensor_set_range(tensor: Object, low: f32, high: f32) -> Option<bool> {
    call!(tensor, TENSOR_SET_RANGE(low => f32, high => f32) -> bool)
}

/// `setType`; `None` where the version has none.
pub unsafe fn tensor_set_type(tensor: Object, element: i32) -> Option<()> {
    call!(tensor, TENSOR_SET_TYPE(element => i32))
}

/// `setInt8Calibrator`; `None` where the version has none.
pub unsafe fn config_calibrator(config: Object, calibrator: Object) -> Option<()> {
    call!(config, CONFIG_CALIBRATOR(calibrator => Object))
}

/// Device memory of a context, bytes.
pub unsafe fn engine_device_memory(engine: Object) -> i64 {
    call!(engine, ENGINE_DEVICE_MEMORY_V2() -> i64)
        .or_else(|| call!(engine, ENGINE_DEVICE_MEMORY() -> usize).map(|n| n as i64))
        .unwrap_or(0)
}

/// `Dims` of TensorRT 8.
#[repr(C)]
struct Dims32 {
    count: i32,
    extents: [i32; MAX_DIMS],
}

/// `Dims` since TensorRT 10.
#[repr(C)]
struct Dims64 {
    count: i32,
    extents: [i64; MAX_DIMS],
}

fn known(count: i32, extents: &[i64]) -> Vec<i64> {
    let count = (count.max(0) as usize).min(extents.len());
    extents.iter().take(count).copied().collect()
}

macro_rules! dims {
    ($object:expr, $slot:ident ( $($value:expr => $kind:ty),* )) => {
        if major() == 8 {
            call!($object, $slot($($value => $kind),*) -> Dims32)
                .map(|d| known(d.count, &d.extents.map(i64::from)))
        } else {
            call!($object, $slot($($value => $kind),*) -> Dims64)
                .map(|d| known(d.count, &d.extents))
        }
        .unwrap_or_default()
    };
}

/// `ITensor::getDimensions`.
pub unsafe fn tensor_dims(tensor: Object) -> Vec<i64> {
    dims!(tensor, TENSOR_DIMS())
}

/// `ICudaEngine::getTensorShape`.
pub unsafe fn engine_tensor_dims(engine: Object, name: *const c_char) -> Vec<i64> {
    dims!(engine, ENGINE_TENSOR_DIMS(name => *const c_char))
}

/// `IExecutionContext::getTensorStrides`.
pub unsafe fn context_strides(context: Object, name: *const c_char) -> Vec<i64> {
    dims!(context, CONTEXT_STRIDES(name => *const c_char))
}

/// Major version in use; 0 before [`use_version`].
pub fn major() -> u32 {
    COLUMN.get().map_or(0, |c| c.major())
}

/// A function of a vtable.
pub type Function = *const c_void;

/// Room for the largest vtable that dlaplan makes, with its two words in front of slot 0.
const ROOM: usize = 2 + 9;

/// An object that TensorRT calls. TensorRT never deletes one.
#[repr(C)]
pub struct Callback<U> {
    vtable: *const Function,
    user: U,
    // What `vtable` points into. In front of slot 0 stand the offset to the whole object and the
    // type information; both are zero, as from a compiler without RTTI.
    functions: Box<[Function; ROOM]>,
}

impl<U> Callback<U> {
    /// An object with functions at their slots; `None` where this version has no such class.
    pub fn new(
        user: U,
        interface: Function,
        delete: Slot,
        methods: &[(Slot, Function)],
    ) -> Option<Box<Self>> {
        let column = *COLUMN.get()?;
        let mut functions = Box::new([nothing as Function; ROOM]);
        functions[..2].fill(std::ptr::null());
        // Classes with a version of their own begin with these two and a destructor.
        if methods.iter().all(|(slot, _)| slot.at(column) >= Some(4)) {
            *functions.get_mut(2 + slots::ON_API_LANGUAGE.at(column)?)? = language as Function;
            *functions.get_mut(2 + slots::ON_INTERFACE.at(column)?)? = interface;
        }
        *functions.get_mut(2 + delete.at(column)?)? = nothing as Function;
        for (slot, function) in methods {
            *functions.get_mut(2 + slot.at(column)?)? = *function;
        }
        let mut callback = Box::new(Self {
            vtable: std::ptr::null(),
            user,
            functions,
        });
        // SAFETY: slot 0 is the third of the words.
        callback.vtable = unsafe { callback.functions.as_ptr().add(2) };
        Some(callback)
    }

    /// The object as TensorRT takes it.
    pub fn raw(&self) -> Object {
        (&raw const *self).cast_mut().cast()
    }

    /// What it works on.
    pub fn user_mut(&mut self) -> &mut U {
        &mut self.user
    }

    /// What the object that TensorRT passes works on.
    ///
    /// # Safety
    /// `object` is a live `Callback<U>`.
    pub unsafe fn user_of(object: Object) -> *mut U {
        // SAFETY: the caller's.
        unsafe { &raw mut (*object.cast::<Self>()).user }
    }
}

/// `InterfaceInfo`: the name and version of a class.
#[repr(C)]
pub struct Interface {
    kind: *const c_char,
    major: i32,
    minor: i32,
}

impl Interface {
    /// Version 1.0 of a class.
    pub fn first(kind: &'static CStr) -> Self {
        Self {
            kind: kind.as_ptr(),
            major: 1,
            minor: 0,
        }
    }
}

/// Destructors: the object is Rust's.
extern "C" fn nothing(_object: Object) {}

/// `APILanguage::kCPP`.
extern "C" fn language(_object: Object) -> i32 {
    0
}
