// TensorRT's C++ objects behind a C ABI. One function per call, no decisions: those are in Rust.
// Nothing here links to TensorRT; entry points come in as addresses of the opened libraries.
// A call the headers' version does not have answers DP_ABSENT.

#include <NvInfer.h>
#include <NvOnnxParser.h>

#include <cstddef>
#include <cstdint>

using namespace nvinfer1;

#define DP_TRT(major, minor) (NV_TENSORRT_MAJOR > (major) || (NV_TENSORRT_MAJOR == (major) && NV_TENSORRT_MINOR >= (minor)))

namespace
{
constexpr int32_t DP_ABSENT = -1;

using LogFn = void (*)(void* user, int32_t severity, char const* text);
using LayerTimeFn = void (*)(void* user, char const* layer, float ms);
struct CalibratorFns
{
    void* user;
    int32_t (*batch)(void* user, void** bindings, char const** names, int32_t count);
    void const* (*read)(void* user, std::size_t* length);
    void (*write)(void* user, void const* data, std::size_t length);
};

class Logger final : public ILogger
{
public:
    Logger(LogFn fn, void* user)
        : mFn(fn)
        , mUser(user)
    {
    }
    void log(Severity severity, AsciiChar const* text) noexcept override
    {
        mFn(mUser, static_cast<int32_t>(severity), text);
    }

private:
    LogFn mFn;
    void* mUser;
};

class Profiler final : public IProfiler
{
public:
    Profiler(LayerTimeFn fn, void* user)
        : mFn(fn)
        , mUser(user)
    {
    }
    void reportLayerTime(char const* layer, float ms) noexcept override
    {
        mFn(mUser, layer, ms);
    }

private:
    LayerTimeFn mFn;
    void* mUser;
};

#if NV_TENSORRT_MAJOR < 11
class Calibrator final : public IInt8EntropyCalibrator2
{
public:
    explicit Calibrator(CalibratorFns const& fns)
        : mFns(fns)
    {
    }
    int32_t getBatchSize() const noexcept override
    {
        return 1;
    }
    bool getBatch(void* bindings[], char const* names[], int32_t count) noexcept override
    {
        return mFns.batch(mFns.user, bindings, names, count) == 1;
    }
    void const* readCalibrationCache(std::size_t& length) noexcept override
    {
        return mFns.read(mFns.user, &length);
    }
    void writeCalibrationCache(void const* data, std::size_t length) noexcept override
    {
        mFns.write(mFns.user, data, length);
    }

private:
    CalibratorFns mFns;
};
#endif

int32_t copyDims(Dims const& dims, int64_t* out, int32_t room)
{
    for (int32_t i = 0; i < dims.nbDims && i < room; ++i)
    {
        out[i] = dims.d[i];
    }
    return dims.nbDims;
}
} // namespace

extern "C"
{
int32_t dp_compiled_major()
{
    return NV_TENSORRT_MAJOR;
}
int32_t dp_compiled_minor()
{
    return NV_TENSORRT_MINOR;
}
int32_t dp_compiled_patch()
{
    return NV_TENSORRT_PATCH;
}

void* dp_logger_new(LogFn fn, void* user)
{
    return static_cast<ILogger*>(new Logger(fn, user));
}
void dp_logger_delete(void* logger)
{
    delete static_cast<Logger*>(static_cast<ILogger*>(logger));
}

// Builder
void* dp_builder_new(void* (*create)(void*, int32_t), void* logger)
{
    return static_cast<IBuilder*>(create(static_cast<ILogger*>(logger), NV_TENSORRT_VERSION));
}
void dp_builder_delete(void* builder)
{
    delete static_cast<IBuilder*>(builder);
}
int32_t dp_builder_dla_cores(void* builder)
{
    return static_cast<IBuilder*>(builder)->getNbDLACores();
}
void* dp_builder_network(void* builder, int32_t stronglyTyped)
{
    uint32_t flags = 0;
#if NV_TENSORRT_MAJOR < 10
    flags |= 1U << static_cast<uint32_t>(NetworkDefinitionCreationFlag::kEXPLICIT_BATCH);
    (void) stronglyTyped;
#elif NV_TENSORRT_MAJOR < 11
    if (stronglyTyped)
    {
        flags |= 1U << static_cast<uint32_t>(NetworkDefinitionCreationFlag::kSTRONGLY_TYPED);
    }
#else
    (void) stronglyTyped; // The only kind since 11.
#endif
    return static_cast<IBuilder*>(builder)->createNetworkV2(flags);
}
void* dp_builder_config(void* builder)
{
    return static_cast<IBuilder*>(builder)->createBuilderConfig();
}
void* dp_builder_build(void* builder, void* network, void* config)
{
    return static_cast<IBuilder*>(builder)->buildSerializedNetwork(
        *static_cast<INetworkDefinition*>(network), *static_cast<IBuilderConfig*>(config));
}

// Host memory
void const* dp_memory_data(void* memory)
{
    return static_cast<IHostMemory*>(memory)->data();
}
std::size_t dp_memory_size(void* memory)
{
    return static_cast<IHostMemory*>(memory)->size();
}
void dp_memory_delete(void* memory)
{
    delete static_cast<IHostMemory*>(memory);
}

// Parser
void* dp_parser_new(void* (*create)(void*, void*, int), void* network, void* logger)
{
    return static_cast<nvonnxparser::IParser*>(create(
        static_cast<INetworkDefinition*>(network), static_cast<ILogger*>(logger), NV_ONNX_PARSER_VERSION));
}
void dp_parser_delete(void* parser)
{
    delete static_cast<nvonnxparser::IParser*>(parser);
}
int32_t dp_parser_parse(void* parser, void const* data, std::size_t size, char const* path)
{
    return static_cast<nvonnxparser::IParser*>(parser)->parse(data, size, path);
}
int32_t dp_parser_errors(void* parser)
{
    return static_cast<nvonnxparser::IParser*>(parser)->getNbErrors();
}
char const* dp_parser_error(void* parser, int32_t index, int32_t* node)
{
    auto const* error = static_cast<nvonnxparser::IParser*>(parser)->getError(index);
    *node = error->node();
    return error->desc();
}

// Network
void dp_network_delete(void* network)
{
    delete static_cast<INetworkDefinition*>(network);
}
int32_t dp_network_layers(void* network)
{
    return static_cast<INetworkDefinition*>(network)->getNbLayers();
}
void* dp_network_layer(void* network, int32_t index)
{
    return static_cast<INetworkDefinition*>(network)->getLayer(index);
}
int32_t dp_network_inputs(void* network)
{
    return static_cast<INetworkDefinition*>(network)->getNbInputs();
}
void* dp_network_input(void* network, int32_t index)
{
    return static_cast<INetworkDefinition*>(network)->getInput(index);
}

// Layer
char const* dp_layer_name(void* layer)
{
    return static_cast<ILayer*>(layer)->getName();
}
int32_t dp_layer_type(void* layer)
{
    return static_cast<int32_t>(static_cast<ILayer*>(layer)->getType());
}
char const* dp_layer_metadata(void* layer)
{
#if DP_TRT(8, 6)
    return static_cast<ILayer*>(layer)->getMetadata();
#else
    (void) layer;
    return nullptr;
#endif
}
int32_t dp_layer_outputs(void* layer)
{
    return static_cast<ILayer*>(layer)->getNbOutputs();
}
void* dp_layer_output(void* layer, int32_t index)
{
    return static_cast<ILayer*>(layer)->getOutput(index);
}
int32_t dp_layer_inputs(void* layer)
{
    return static_cast<ILayer*>(layer)->getNbInputs();
}
void* dp_layer_input(void* layer, int32_t index)
{
    return static_cast<ILayer*>(layer)->getInput(index);
}

// Tensor
char const* dp_tensor_name(void* tensor)
{
    return static_cast<ITensor*>(tensor)->getName();
}
int32_t dp_tensor_dims(void* tensor, int64_t* out, int32_t room)
{
    return copyDims(static_cast<ITensor*>(tensor)->getDimensions(), out, room);
}
int32_t dp_tensor_set_range(void* tensor, float low, float high)
{
#if NV_TENSORRT_MAJOR < 11
    return static_cast<ITensor*>(tensor)->setDynamicRange(low, high);
#else
    (void) tensor, (void) low, (void) high;
    return DP_ABSENT;
#endif
}

// Builder config
void dp_config_delete(void* config)
{
    delete static_cast<IBuilderConfig*>(config);
}
// 0 FP16, 1 INT8, 2 GPU fallback, 3 no TF32
int32_t dp_config_flag(void* config, int32_t flag)
{
    auto* c = static_cast<IBuilderConfig*>(config);
    switch (flag)
    {
#if NV_TENSORRT_MAJOR < 11
    case 0: c->setFlag(BuilderFlag::kFP16); return 1;
    case 1: c->setFlag(BuilderFlag::kINT8); return 1;
#endif
    case 2: c->setFlag(BuilderFlag::kGPU_FALLBACK); return 1;
    case 3: c->clearFlag(BuilderFlag::kTF32); return 1;
    default: return DP_ABSENT;
    }
}
void dp_config_default_device(void* config, int32_t dla)
{
    static_cast<IBuilderConfig*>(config)->setDefaultDeviceType(dla ? DeviceType::kDLA : DeviceType::kGPU);
}
void dp_config_device(void* config, void* layer, int32_t dla)
{
    static_cast<IBuilderConfig*>(config)->setDeviceType(
        static_cast<ILayer*>(layer), dla ? DeviceType::kDLA : DeviceType::kGPU);
}
int32_t dp_config_can_run_on_dla(void* config, void* layer)
{
    return static_cast<IBuilderConfig*>(config)->canRunOnDLA(static_cast<ILayer*>(layer));
}
void dp_config_dla_core(void* config, int32_t core)
{
    static_cast<IBuilderConfig*>(config)->setDLACore(core);
}
// 0 workspace, 1 DLA managed SRAM, 2 DLA local DRAM, 3 DLA global DRAM
void dp_config_pool(void* config, int32_t pool, std::size_t bytes)
{
    static_cast<IBuilderConfig*>(config)->setMemoryPoolLimit(static_cast<MemoryPoolType>(pool), bytes);
}
void dp_config_detailed(void* config)
{
    static_cast<IBuilderConfig*>(config)->setProfilingVerbosity(ProfilingVerbosity::kDETAILED);
}
uint32_t dp_config_tactic_sources(void* config)
{
    return static_cast<IBuilderConfig*>(config)->getTacticSources();
}
int32_t dp_config_set_tactic_sources(void* config, uint32_t sources)
{
    return static_cast<IBuilderConfig*>(config)->setTacticSources(sources);
}
void* dp_config_timing_cache(void* config, void const* data, std::size_t size)
{
    auto* c = static_cast<IBuilderConfig*>(config);
    ITimingCache* cache = c->createTimingCache(data, size);
    if (cache != nullptr && !c->setTimingCache(*cache, false))
    {
        delete cache;
        return nullptr;
    }
    return cache;
}
void* dp_timing_cache_serialize(void* cache)
{
    return static_cast<ITimingCache*>(cache)->serialize();
}
void dp_timing_cache_delete(void* cache)
{
    delete static_cast<ITimingCache*>(cache);
}
void* dp_calibrator_new(CalibratorFns const* fns)
{
#if NV_TENSORRT_MAJOR < 11
    return static_cast<IInt8Calibrator*>(new Calibrator(*fns));
#else
    (void) fns;
    return nullptr;
#endif
}
void dp_calibrator_delete(void* calibrator)
{
#if NV_TENSORRT_MAJOR < 11
    delete static_cast<IInt8Calibrator*>(calibrator);
#else
    (void) calibrator;
#endif
}
int32_t dp_config_calibrator(void* config, void* calibrator)
{
#if NV_TENSORRT_MAJOR < 11
    static_cast<IBuilderConfig*>(config)->setInt8Calibrator(static_cast<IInt8Calibrator*>(calibrator));
    return 1;
#else
    (void) config, (void) calibrator;
    return DP_ABSENT;
#endif
}

// Runtime
void* dp_runtime_new(void* (*create)(void*, int32_t), void* logger)
{
    return static_cast<IRuntime*>(create(static_cast<ILogger*>(logger), NV_TENSORRT_VERSION));
}
void dp_runtime_delete(void* runtime)
{
    delete static_cast<IRuntime*>(runtime);
}
int32_t dp_runtime_dla_cores(void* runtime)
{
    return static_cast<IRuntime*>(runtime)->getNbDLACores();
}
void dp_runtime_dla_core(void* runtime, int32_t core)
{
    static_cast<IRuntime*>(runtime)->setDLACore(core);
}
void* dp_runtime_deserialize(void* runtime, void const* data, std::size_t size)
{
    return static_cast<IRuntime*>(runtime)->deserializeCudaEngine(data, size);
}

// Engine
void dp_engine_delete(void* engine)
{
    delete static_cast<ICudaEngine*>(engine);
}
int32_t dp_engine_tensors(void* engine)
{
    return static_cast<ICudaEngine*>(engine)->getNbIOTensors();
}
char const* dp_engine_tensor_name(void* engine, int32_t index)
{
    return static_cast<ICudaEngine*>(engine)->getIOTensorName(index);
}
int32_t dp_engine_tensor_is_input(void* engine, char const* name)
{
    return static_cast<ICudaEngine*>(engine)->getTensorIOMode(name) == TensorIOMode::kINPUT;
}
int32_t dp_engine_tensor_type(void* engine, char const* name)
{
    return static_cast<int32_t>(static_cast<ICudaEngine*>(engine)->getTensorDataType(name));
}
int32_t dp_engine_tensor_dims(void* engine, char const* name, int64_t* out, int32_t room)
{
    return copyDims(static_cast<ICudaEngine*>(engine)->getTensorShape(name), out, room);
}
// Elements per component and the dim they are packed along; 1 or less and -1 when not packed.
void dp_engine_tensor_packing(void* engine, char const* name, int32_t* components, int32_t* dim)
{
    auto* e = static_cast<ICudaEngine*>(engine);
    *components = e->getTensorComponentsPerElement(name);
    *dim = e->getTensorVectorizedDim(name);
}
int64_t dp_engine_device_memory(void* engine)
{
#if NV_TENSORRT_MAJOR < 10 || (NV_TENSORRT_MAJOR == 10 && NV_TENSORRT_MINOR < 1)
    return static_cast<int64_t>(static_cast<ICudaEngine*>(engine)->getDeviceMemorySize());
#else
    return static_cast<ICudaEngine*>(engine)->getDeviceMemorySizeV2();
#endif
}
void* dp_engine_inspector(void* engine)
{
    return static_cast<ICudaEngine*>(engine)->createEngineInspector();
}
char const* dp_inspector_json(void* inspector)
{
    return static_cast<IEngineInspector*>(inspector)->getEngineInformation(LayerInformationFormat::kJSON);
}
void dp_inspector_delete(void* inspector)
{
    delete static_cast<IEngineInspector*>(inspector);
}
void* dp_engine_context(void* engine)
{
    return static_cast<ICudaEngine*>(engine)->createExecutionContext();
}

// Execution context
void dp_context_delete(void* context)
{
    delete static_cast<IExecutionContext*>(context);
}
int32_t dp_context_address(void* context, char const* name, void* address)
{
    return static_cast<IExecutionContext*>(context)->setTensorAddress(name, address);
}
int32_t dp_context_enqueue(void* context, void* stream)
{
    return static_cast<IExecutionContext*>(context)->enqueueV3(static_cast<cudaStream_t>(stream));
}
void* dp_profiler_new(LayerTimeFn fn, void* user)
{
    return static_cast<IProfiler*>(new Profiler(fn, user));
}
void dp_profiler_delete(void* profiler)
{
    delete static_cast<Profiler*>(static_cast<IProfiler*>(profiler));
}
void dp_context_profiler(void* context, void* profiler)
{
    static_cast<IExecutionContext*>(context)->setProfiler(static_cast<IProfiler*>(profiler));
}
}
