//! `shim.cpp`, declaration by declaration. Every pointer is a TensorRT object of the named kind.

use std::ffi::{c_char, c_int, c_void};

/// Answer of a call that the headers' version does not have.
pub const ABSENT: i32 = -1;

pub type Object = *mut c_void;
pub type LogFn = extern "C" fn(*mut c_void, i32, *const c_char);
pub type LayerTimeFn = extern "C" fn(*mut c_void, *const c_char, f32);
/// `createInferBuilder_INTERNAL` and `createInferRuntime_INTERNAL`.
pub type CreateFn = unsafe extern "C" fn(*mut c_void, i32) -> *mut c_void;
/// `createNvOnnxParser_INTERNAL`.
pub type CreateParserFn = unsafe extern "C" fn(*mut c_void, *mut c_void, c_int) -> *mut c_void;

#[repr(C)]
pub struct CalibratorFns {
    pub user: *mut c_void,
    pub batch: extern "C" fn(*mut c_void, *mut *mut c_void, *mut *const c_char, i32) -> i32,
    pub read: extern "C" fn(*mut c_void, *mut usize) -> *const c_void,
    pub write: extern "C" fn(*mut c_void, *const c_void, usize),
}

unsafe extern "C" {
    pub fn dp_compiled_major() -> i32;
    pub fn dp_compiled_minor() -> i32;
    pub fn dp_compiled_patch() -> i32;

    pub fn dp_logger_new(fun: LogFn, user: *mut c_void) -> Object;
    pub fn dp_logger_delete(logger: Object);

    pub fn dp_builder_new(create: CreateFn, logger: Object) -> Object;
    pub fn dp_builder_delete(builder: Object);
    pub fn dp_builder_dla_cores(builder: Object) -> i32;
    pub fn dp_builder_network(builder: Object, strongly_typed: i32) -> Object;
    pub fn dp_builder_config(builder: Object) -> Object;
    pub fn dp_builder_build(builder: Object, network: Object, config: Object) -> Object;

    pub fn dp_memory_data(memory: Object) -> *const c_void;
    pub fn dp_memory_size(memory: Object) -> usize;
    pub fn dp_memory_delete(memory: Object);

    pub fn dp_parser_new(create: CreateParserFn, network: Object, logger: Object) -> Object;
    pub fn dp_parser_delete(parser: Object);
    pub fn dp_parser_parse(
        parser: Object,
        data: *const c_void,
        size: usize,
        path: *const c_char,
    ) -> i32;
    pub fn dp_parser_errors(parser: Object) -> i32;
    pub fn dp_parser_error(parser: Object, index: i32, node: *mut i32) -> *const c_char;

    pub fn dp_network_delete(network: Object);
    pub fn dp_network_layers(network: Object) -> i32;
    pub fn dp_network_layer(network: Object, index: i32) -> Object;
    pub fn dp_network_inputs(network: Object) -> i32;
    pub fn dp_network_input(network: Object, index: i32) -> Object;

    pub fn dp_layer_name(layer: Object) -> *const c_char;
    pub fn dp_layer_type(layer: Object) -> i32;
    pub fn dp_layer_metadata(layer: Object) -> *const c_char;
    pub fn dp_layer_outputs(layer: Object) -> i32;
    pub fn dp_layer_output(layer: Object, index: i32) -> Object;
    pub fn dp_layer_inputs(layer: Object) -> i32;
    pub fn dp_layer_input(layer: Object, index: i32) -> Object;

    pub fn dp_tensor_name(tensor: Object) -> *const c_char;
    pub fn dp_tensor_dims(tensor: Object, out: *mut i64, room: i32) -> i32;
    pub fn dp_tensor_set_range(tensor: Object, low: f32, high: f32) -> i32;

    pub fn dp_config_delete(config: Object);
    pub fn dp_config_flag(config: Object, flag: i32) -> i32;
    pub fn dp_config_default_device(config: Object, dla: i32);
    pub fn dp_config_device(config: Object, layer: Object, dla: i32);
    pub fn dp_config_can_run_on_dla(config: Object, layer: Object) -> i32;
    pub fn dp_config_dla_core(config: Object, core: i32);
    pub fn dp_config_pool(config: Object, pool: i32, bytes: usize);
    pub fn dp_config_detailed(config: Object);
    pub fn dp_config_tactic_sources(config: Object) -> u32;
    pub fn dp_config_set_tactic_sources(config: Object, sources: u32) -> i32;
    pub fn dp_config_timing_cache(config: Object, data: *const c_void, size: usize) -> Object;
    pub fn dp_timing_cache_serialize(cache: Object) -> Object;
    pub fn dp_timing_cache_delete(cache: Object);
    pub fn dp_calibrator_new(fns: *const CalibratorFns) -> Object;
    pub fn dp_calibrator_delete(calibrator: Object);
    pub fn dp_config_calibrator(config: Object, calibrator: Object) -> i32;

    pub fn dp_runtime_new(create: CreateFn, logger: Object) -> Object;
    pub fn dp_runtime_delete(runtime: Object);
    pub fn dp_runtime_dla_cores(runtime: Object) -> i32;
    pub fn dp_runtime_dla_core(runtime: Object, core: i32);
    pub fn dp_runtime_deserialize(runtime: Object, data: *const c_void, size: usize) -> Object;

    pub fn dp_engine_delete(engine: Object);
    pub fn dp_engine_tensors(engine: Object) -> i32;
    pub fn dp_engine_tensor_name(engine: Object, index: i32) -> *const c_char;
    pub fn dp_engine_tensor_is_input(engine: Object, name: *const c_char) -> i32;
    pub fn dp_engine_tensor_type(engine: Object, name: *const c_char) -> i32;
    pub fn dp_engine_tensor_dims(
        engine: Object,
        name: *const c_char,
        out: *mut i64,
        room: i32,
    ) -> i32;
    pub fn dp_engine_tensor_packing(
        engine: Object,
        name: *const c_char,
        components: *mut i32,
        dim: *mut i32,
    );
    pub fn dp_engine_device_memory(engine: Object) -> i64;
    pub fn dp_engine_inspector(engine: Object) -> Object;
    pub fn dp_inspector_json(inspector: Object) -> *const c_char;
    pub fn dp_inspector_delete(inspector: Object);
    pub fn dp_engine_context(engine: Object) -> Object;

    pub fn dp_context_delete(context: Object);
    pub fn dp_context_address(context: Object, name: *const c_char, address: *mut c_void) -> i32;
    pub fn dp_context_enqueue(context: Object, stream: *mut c_void) -> i32;
    pub fn dp_profiler_new(fun: LayerTimeFn, user: *mut c_void) -> Object;
    pub fn dp_profiler_delete(profiler: Object);
    pub fn dp_context_profiler(context: Object, profiler: Object);
}
