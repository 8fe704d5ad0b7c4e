//! The little of CUDA's driver API that timing needs, through cudarc. Libraries are opened at run
//! time: a machine without them gets an error, never a panic.

use std::ffi::{CStr, c_void};
use std::panic::catch_unwind;

use cudarc::driver::{DriverError, result, sys};

use crate::engine::run::GpuFacts;

/// Why CUDA cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CudaError {
    /// No libcuda.
    #[error(
        "libcuda.so is missing: no NVIDIA driver is installed on this machine, or it is not in the \
         library path; on a Jetson it comes with JetPack"
    )]
    NoDriver,
    /// No GPU.
    #[error("the NVIDIA driver is installed but sees no GPU ({0}); check permissions on /dev/nv*")]
    NoDevice(String),
    /// A call failed.
    #[error("CUDA: {what}: {code}")]
    Call {
        /// The call.
        what: &'static str,
        /// CUDA's reason.
        code: String,
    },
}

fn check<T>(what: &'static str, r: Result<T, DriverError>) -> Result<T, CudaError> {
    r.map_err(|e| CudaError::Call {
        what,
        code: code(e),
    })
}

fn code(e: DriverError) -> String {
    format!("{:?}", e.0)
}

/// The first GPU's primary context, which TensorRT uses as well. It is never given back: TensorRT
/// keeps using it until the process ends.
#[derive(Debug)]
pub struct Device {
    device: sys::CUdevice,
}

impl Device {
    /// Makes the first GPU current on this thread.
    pub fn open() -> Result<Self, CudaError> {
        // SAFETY: opens and closes a library by its well-known name.
        if !unsafe { sys::is_culib_present() } {
            return Err(CudaError::NoDriver);
        }
        // cudarc panics where the driver lacks a symbol.
        let opened = catch_unwind(|| {
            result::init().map_err(|e| CudaError::NoDevice(code(e)))?;
            let device = result::device::get(0).map_err(|e| CudaError::NoDevice(code(e)))?;
            // SAFETY: `device` comes from cuDeviceGet; the context stays retained.
            unsafe {
                let context = check(
                    "cuDevicePrimaryCtxRetain",
                    result::primary_ctx::retain(device),
                )?;
                check("cuCtxSetCurrent", result::ctx::set_current(context))?;
            }
            Ok(Self { device })
        });
        opened.unwrap_or(Err(CudaError::NoDriver))
    }

    /// GPU name.
    pub fn name(&self) -> Result<String, CudaError> {
        check("cuDeviceGetName", result::device::get_name(self.device))
    }

    /// `7.2` and so on.
    pub fn compute_capability(&self) -> Result<String, CudaError> {
        use sys::CUdevice_attribute::{
            CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR as MAJOR,
            CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR as MINOR,
        };
        let get = |a| {
            // SAFETY: the device is valid.
            let value = unsafe { result::device::get_attribute(self.device, a) };
            check("cuDeviceGetAttribute", value)
        };
        Ok(format!("{}.{}", get(MAJOR)?, get(MINOR)?))
    }

    /// What the driver says of the GPU.
    pub fn facts(&self) -> Result<GpuFacts, CudaError> {
        use sys::CUdevice_attribute as A;
        let get = |a: A| {
            // SAFETY: the device is valid.
            let value = unsafe { result::device::get_attribute(self.device, a) };
            Ok::<u32, CudaError>(u32::try_from(check("cuDeviceGetAttribute", value)?).unwrap_or(0))
        };
        let mut bytes = 0;
        // SAFETY: writes one number; the device is valid.
        let r = unsafe { sys::cuDeviceTotalMem_v2(&raw mut bytes, self.device) }.result();
        check("cuDeviceTotalMem", r)?;
        Ok(GpuFacts {
            sms: get(A::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            clock_mhz: f64::from(get(A::CU_DEVICE_ATTRIBUTE_CLOCK_RATE)?) / 1e3,
            memory_mhz: f64::from(get(A::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE)?) / 1e3,
            bus_bits: get(A::CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH)?,
            l2_bytes: u64::from(get(A::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?),
            memory_bytes: bytes as u64,
            integrated: get(A::CU_DEVICE_ATTRIBUTE_INTEGRATED)? != 0,
        })
    }

    /// CUDA version of the driver, `12.2`.
    pub fn driver_version(&self) -> Result<String, CudaError> {
        let mut version = 0;
        // SAFETY: writes one int.
        let r = unsafe { sys::cuDriverGetVersion(&raw mut version) }.result();
        check("cuDriverGetVersion", r)?;
        Ok(format!("{}.{}", version / 1000, version % 1000 / 10))
    }

    /// Its PCI bus id, `0000:65:00.0`; none of a GPU that is part of the chip.
    pub fn bus_id(&self) -> Option<String> {
        use sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_INTEGRATED as INTEGRATED;
        // SAFETY: the device is valid.
        let integrated = unsafe { result::device::get_attribute(self.device, INTEGRATED) };
        if integrated.ok()? != 0 {
            return None;
        }
        let mut text = [0u8; 32];
        // SAFETY: at most so many bytes are written, with a zero at their end.
        let r = unsafe {
            sys::cuDeviceGetPCIBusId(text.as_mut_ptr().cast(), text.len() as i32, self.device)
        };
        check("cuDeviceGetPCIBusId", r.result()).ok()?;
        let text = CStr::from_bytes_until_nul(&text).ok()?;
        Some(text.to_str().ok()?.to_owned())
    }

    /// Allocates device memory, zeroed.
    pub fn alloc(&self, bytes: usize) -> Result<Buffer<'_>, CudaError> {
        let bytes = bytes.max(1);
        // SAFETY: the context is current; the pointer is freed once, in Drop.
        let ptr = check("cuMemAlloc", unsafe { result::malloc_sync(bytes) })?;
        let buffer = Buffer {
            ptr,
            bytes,
            _device: self,
        };
        // SAFETY: the allocation has `bytes` bytes.
        check("cuMemsetD8", unsafe {
            result::memset_d8_sync(ptr, 0, bytes)
        })?;
        Ok(buffer)
    }

    /// A stream that does not wait for the legacy default stream.
    pub fn stream(&self) -> Result<Stream<'_>, CudaError> {
        let raw = result::stream::create(result::stream::StreamKind::NonBlocking);
        Ok(Stream {
            raw: check("cuStreamCreate", raw)?,
            device: self,
        })
    }

    /// An event to measure with; `spin` to busy-wait on it.
    pub fn event(&self, spin: bool) -> Result<Event<'_>, CudaError> {
        use sys::CUevent_flags_enum::{CU_EVENT_BLOCKING_SYNC, CU_EVENT_DEFAULT};
        let flags = if spin {
            CU_EVENT_DEFAULT
        } else {
            CU_EVENT_BLOCKING_SYNC
        };
        let mut raw = std::ptr::null_mut();
        // SAFETY: writes one handle.
        let r = unsafe { sys::cuEventCreate(&raw mut raw, flags as u32) }.result();
        check("cuEventCreate", r)?;
        Ok(Event { raw, _device: self })
    }
}

/// Device memory.
#[derive(Debug)]
pub struct Buffer<'d> {
    ptr: sys::CUdeviceptr,
    bytes: usize,
    _device: &'d Device,
}

impl Buffer<'_> {
    /// Address on the device.
    pub fn address(&self) -> *mut c_void {
        self.ptr as *mut c_void
    }

    /// Copies bytes in; as many as fit.
    pub fn write(&mut self, data: &[u8]) -> Result<(), CudaError> {
        let data = &data[..data.len().min(self.bytes)];
        // SAFETY: the allocation holds at least `data.len()` bytes.
        let r = unsafe { result::memcpy_htod_sync(self.ptr, data) };
        check("cuMemcpyHtoD", r)
    }

    /// Copies everything out.
    pub fn read(&self) -> Result<Vec<u8>, CudaError> {
        let mut out = vec![0u8; self.bytes];
        // SAFETY: the allocation holds `bytes` bytes.
        let r = unsafe { result::memcpy_dtoh_sync(&mut out, self.ptr) };
        check("cuMemcpyDtoH", r)?;
        Ok(out)
    }
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        // SAFETY: allocated in `alloc`, freed here only.
        let _ended = unsafe { result::free_sync(self.ptr) };
    }
}

/// A stream.
#[derive(Debug)]
pub struct Stream<'d> {
    raw: sys::CUstream,
    device: &'d Device,
}

impl<'d> Stream<'d> {
    /// For TensorRT's `enqueueV3`.
    pub fn raw(&self) -> *mut c_void {
        self.raw.cast()
    }

    /// Waits for everything in it.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        // SAFETY: the stream is valid.
        check("cuStreamSynchronize", unsafe {
            result::stream::synchronize(self.raw)
        })
    }

    /// Records what `work` enqueues as a graph. `work`'s error comes first; a capture that CUDA
    /// cannot do (as with DLA) is [`CudaError::Call`].
    pub fn capture<E: From<CudaError>>(
        &self,
        work: impl FnOnce() -> Result<(), E>,
    ) -> Result<Graph<'d>, E> {
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream is valid and nothing else uses it on another thread.
        check("cuStreamBeginCapture", unsafe {
            result::stream::begin_capture(self.raw, mode)
        })?;
        let worked = work();
        // SAFETY: capture was begun above; it must end even after a failure.
        let graph = check("cuStreamEndCapture", unsafe {
            result::stream::end_capture(self.raw)
        });
        worked?;
        let graph = graph?;
        let mut exec = std::ptr::null_mut();
        // SAFETY: `graph` comes from the capture; the executable copy outlives it.
        let made = unsafe {
            let made = sys::cuGraphInstantiateWithFlags(&raw mut exec, graph, 0).result();
            let _ended = result::graph::destroy(graph);
            made
        };
        check("cuGraphInstantiate", made)?;
        Ok(Graph {
            exec,
            _device: self.device,
        })
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        // SAFETY: created in `stream`, destroyed here only.
        let _ended = unsafe { result::stream::destroy(self.raw) };
    }
}

/// An executable graph.
#[derive(Debug)]
pub struct Graph<'d> {
    exec: sys::CUgraphExec,
    _device: &'d Device,
}

impl Graph<'_> {
    /// Launches it into a stream.
    pub fn launch(&self, stream: &Stream<'_>) -> Result<(), CudaError> {
        // SAFETY: both handles are valid.
        check("cuGraphLaunch", unsafe {
            result::graph::launch(self.exec, stream.raw)
        })
    }
}

impl Drop for Graph<'_> {
    fn drop(&mut self) {
        // SAFETY: instantiated in `capture`, destroyed here only.
        let _ended = unsafe { result::graph::exec_destroy(self.exec) };
    }
}

/// An event.
#[derive(Debug)]
pub struct Event<'d> {
    raw: sys::CUevent,
    _device: &'d Device,
}

impl Event<'_> {
    /// Puts it into a stream.
    pub fn record(&self, stream: &Stream<'_>) -> Result<(), CudaError> {
        // SAFETY: both handles are valid.
        check("cuEventRecord", unsafe {
            result::event::record(self.raw, stream.raw)
        })
    }

    /// Waits for it.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        // SAFETY: the event is valid.
        check("cuEventSynchronize", unsafe {
            result::event::synchronize(self.raw)
        })
    }

    /// Time from `earlier` to here, ms.
    pub fn ms_since(&self, earlier: &Event<'_>) -> Result<f64, CudaError> {
        // SAFETY: both events are valid; CUDA answers an error where they were not recorded.
        let ms = unsafe { result::event::elapsed(earlier.raw, self.raw) };
        Ok(f64::from(check("cuEventElapsedTime", ms)?))
    }
}

impl Drop for Event<'_> {
    fn drop(&mut self) {
        // SAFETY: created in `event`, destroyed here only.
        let _ended = unsafe { result::event::destroy(self.raw) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a machine with a GPU there is nothing to check here.
    #[test]
    fn a_missing_driver_is_an_error() {
        if let Err(e) = Device::open() {
            assert!(!e.to_string().is_empty());
        }
    }
}
