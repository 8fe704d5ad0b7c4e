// Prints which vtable slot each TensorRT call of dlaplan uses, by the headers this is compiled with.
// The calls go through the headers' own code to objects whose vtables only note what was called.
// One line per call: name, whose vtable (`own`, or `impl` behind the object's mImpl), slot.

#include <NvInfer.h>
#include <NvOnnxParser.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <utility>

using namespace nvinfer1;

#define TRT_AT_LEAST(major, minor)                                                                                     \
    (NV_TENSORRT_MAJOR > (major) || (NV_TENSORRT_MAJOR == (major) && NV_TENSORRT_MINOR >= (minor)))

namespace
{
constexpr std::size_t kSLOTS = 256;

char const* gName = nullptr;

void note(char const* whose, std::size_t slot)
{
    std::printf("%s %s %zu\n", gName, whose, slot);
}

// Answers its first argument: the object, or the place for a returned struct.
template <std::size_t N>
void* own(void* first)
{
    note("own", N);
    return first;
}
template <std::size_t N>
void* impl(void* first)
{
    note("impl", N);
    return first;
}

using Stub = void* (*) (void*);
template <std::size_t... N>
struct Tables
{
    static constexpr Stub kOWN[] = {own<N>...};
    static constexpr Stub kIMPL[] = {impl<N>...};
};
template <std::size_t... N>
Tables<N...> tables(std::index_sequence<N...>);
using All = decltype(tables(std::make_index_sequence<kSLOTS>()));

struct Fake
{
    Stub const* vptr;
    Fake* mImpl;
    void* rest[62];
};
Fake gImpl{All::kIMPL, nullptr, {}};
Fake gOwn{All::kOWN, &gImpl, {}};

template <typename T>
T* fake()
{
    void* volatile object = &gOwn;
    return static_cast<T*>(object);
}

// Derived and not final, so that deletion is a virtual call also where the destructor is protected.
struct Logger : ILogger
{
    void log(Severity, AsciiChar const*) noexcept override {}
};
struct Profiler : IProfiler
{
    void reportLayerTime(char const*, float) noexcept override {}
};
} // namespace

#define CALL(name, ...)                                                                                                \
    do                                                                                                                 \
    {                                                                                                                  \
        gName = #name;                                                                                                 \
        (void) (__VA_ARGS__);                                                                                          \
    } while (false)
#define DELETE(name, type)                                                                                             \
    do                                                                                                                 \
    {                                                                                                                  \
        gName = #name;                                                                                                 \
        delete fake<type>();                                                                                           \
    } while (false)

int main()
{
    auto* builder = fake<IBuilder>();
    auto* network = fake<INetworkDefinition>();
    auto* config = fake<IBuilderConfig>();
    auto* layer = fake<ILayer>();
    auto* tensor = fake<ITensor>();
    auto* memory = fake<IHostMemory>();
    auto* cache = fake<ITimingCache>();
    auto* runtime = fake<IRuntime>();
    auto* engine = fake<ICudaEngine>();
    auto* inspector = fake<IEngineInspector>();
    auto* context = fake<IExecutionContext>();
    auto* parser = fake<nvonnxparser::IParser>();
    auto* error = fake<nvonnxparser::IParserError>();

    DELETE(builder_delete, IBuilder);
    CALL(builder_dla_cores, builder->getNbDLACores());
    CALL(builder_network, builder->createNetworkV2(0));
    CALL(builder_config, builder->createBuilderConfig());
    CALL(builder_build, builder->buildSerializedNetwork(*network, *config));

    DELETE(memory_delete, IHostMemory);
    CALL(memory_data, memory->data());
    CALL(memory_size, memory->size());

    DELETE(parser_delete, nvonnxparser::IParser);
    CALL(parser_parse, parser->parse(nullptr, 0, nullptr));
    CALL(parser_errors, parser->getNbErrors());
    CALL(parser_error, parser->getError(0));
    CALL(error_node, error->node());
    CALL(error_text, error->desc());

    DELETE(network_delete, INetworkDefinition);
    CALL(network_layers, network->getNbLayers());
    CALL(network_layer, network->getLayer(0));
    CALL(network_inputs, network->getNbInputs());
    CALL(network_input, network->getInput(0));
    CALL(network_outputs, network->getNbOutputs());
    CALL(network_output, network->getOutput(0));

    CALL(layer_name, layer->getName());
    CALL(layer_type, layer->getType());
#if TRT_AT_LEAST(8, 6)
    CALL(layer_metadata, layer->getMetadata());
#endif
    CALL(layer_outputs, layer->getNbOutputs());
    CALL(layer_output, layer->getOutput(0));
    CALL(layer_inputs, layer->getNbInputs());
    CALL(layer_input, layer->getInput(0));

    CALL(tensor_name, tensor->getName());
    CALL(tensor_dims, tensor->getDimensions());
    CALL(tensor_type, tensor->getType());
    CALL(tensor_set_formats, tensor->setAllowedFormats(1));
#if NV_TENSORRT_MAJOR < 11
    CALL(tensor_set_range, tensor->setDynamicRange(0, 0));
    CALL(tensor_set_type, tensor->setType(DataType::kHALF));
#endif

    DELETE(config_delete, IBuilderConfig);
    CALL(config_set_flag, config->setFlag(BuilderFlag::kGPU_FALLBACK));
    CALL(config_clear_flag, config->clearFlag(BuilderFlag::kTF32));
    CALL(config_default_device, config->setDefaultDeviceType(DeviceType::kDLA));
    CALL(config_device, config->setDeviceType(layer, DeviceType::kDLA));
    CALL(config_can_run_on_dla, config->canRunOnDLA(layer));
    CALL(config_dla_core, config->setDLACore(0));
    CALL(config_pool, config->setMemoryPoolLimit(MemoryPoolType::kWORKSPACE, 0));
    CALL(config_verbosity, config->setProfilingVerbosity(ProfilingVerbosity::kDETAILED));
    CALL(config_tactic_sources, config->getTacticSources());
    CALL(config_set_tactic_sources, config->setTacticSources(0));
    CALL(config_create_timing_cache, config->createTimingCache(nullptr, 0));
    CALL(config_set_timing_cache, config->setTimingCache(*cache, false));
    DELETE(timing_cache_delete, ITimingCache);
    CALL(timing_cache_serialize, cache->serialize());
#if NV_TENSORRT_MAJOR < 11
    auto* calibrator = fake<IInt8Calibrator>();
    CALL(config_calibrator, config->setInt8Calibrator(calibrator));
#endif

    DELETE(runtime_delete, IRuntime);
    CALL(runtime_dla_cores, runtime->getNbDLACores());
    CALL(runtime_dla_core, runtime->setDLACore(0));
    CALL(runtime_deserialize, runtime->deserializeCudaEngine(nullptr, 0));

    DELETE(engine_delete, ICudaEngine);
    CALL(engine_tensors, engine->getNbIOTensors());
    CALL(engine_tensor_name, engine->getIOTensorName(0));
    CALL(engine_tensor_mode, engine->getTensorIOMode(""));
    CALL(engine_tensor_type, engine->getTensorDataType(""));
    CALL(engine_tensor_dims, engine->getTensorShape(""));
    CALL(engine_tensor_components, engine->getTensorComponentsPerElement(""));
    CALL(engine_tensor_axis, engine->getTensorVectorizedDim(""));
#if NV_TENSORRT_MAJOR < 11
    CALL(engine_device_memory, engine->getDeviceMemorySize());
#endif
#if TRT_AT_LEAST(10, 1)
    CALL(engine_device_memory_v2, engine->getDeviceMemorySizeV2());
#endif
    CALL(engine_inspector, engine->createEngineInspector());
    CALL(engine_context, engine->createExecutionContext());
    DELETE(inspector_delete, IEngineInspector);
    CALL(inspector_json, inspector->getEngineInformation(LayerInformationFormat::kJSON));

    DELETE(context_delete, IExecutionContext);
    CALL(context_address, context->setTensorAddress("", nullptr));
    CALL(context_strides, context->getTensorStrides(""));
    CALL(context_enqueue, context->enqueueV3(nullptr));
    CALL(context_profiler, context->setProfiler(fake<IProfiler>()));

    // What dlaplan implements and TensorRT calls.
    CALL(on_log, fake<ILogger>()->log(ILogger::Severity::kINFO, ""));
    DELETE(on_log_delete, Logger);
    CALL(on_layer_time, fake<IProfiler>()->reportLayerTime("", 0));
    DELETE(on_layer_time_delete, Profiler);
#if NV_TENSORRT_MAJOR < 11
    std::size_t length = 0;
    DELETE(on_calibrator_delete, IInt8Calibrator);
    CALL(on_batch_size, calibrator->getBatchSize());
    CALL(on_batch, calibrator->getBatch(nullptr, nullptr, 0));
    CALL(on_read, calibrator->readCalibrationCache(length));
    CALL(on_write, calibrator->writeCalibrationCache(nullptr, 0));
    CALL(on_algorithm, calibrator->getAlgorithm());
#if NV_TENSORRT_MAJOR >= 10
    CALL(on_api_language, calibrator->getAPILanguage());
    CALL(on_interface, calibrator->getInterfaceInfo());
#endif
#else
    CALL(on_api_language, fake<ILogger>()->getAPILanguage());
    CALL(on_interface, fake<ILogger>()->getInterfaceInfo());
#endif

    // Numbers that differ between versions, or that the calls rely on.
    auto value = [](char const* name, auto number) { std::printf("%s value %d\n", name, static_cast<int>(number)); };
    value("flag_tf32", BuilderFlag::kTF32);
    value("flag_gpu_fallback", BuilderFlag::kGPU_FALLBACK);
#if NV_TENSORRT_MAJOR < 11
    value("flag_fp16", BuilderFlag::kFP16);
    value("flag_int8", BuilderFlag::kINT8);
#endif
#if NV_TENSORRT_MAJOR < 10
    value("explicit_batch", NetworkDefinitionCreationFlag::kEXPLICIT_BATCH);
#endif
    value("device_gpu", DeviceType::kGPU);
    value("device_dla", DeviceType::kDLA);
    value("verbosity_detailed", ProfilingVerbosity::kDETAILED);
    value("information_json", LayerInformationFormat::kJSON);
    value("mode_input", TensorIOMode::kINPUT);
    value("dims_bytes", sizeof(Dims));
    value("type_float", DataType::kFLOAT);
    value("type_half", DataType::kHALF);
    value("type_int8", DataType::kINT8);
    value("format_linear", TensorFormat::kLINEAR);
    value("format_chw4", TensorFormat::kCHW4);
    value("format_chw16", TensorFormat::kCHW16);
    value("format_chw32", TensorFormat::kCHW32);
    value("format_dla_linear", TensorFormat::kDLA_LINEAR);
    value("format_dla_hwc4", TensorFormat::kDLA_HWC4);
}
