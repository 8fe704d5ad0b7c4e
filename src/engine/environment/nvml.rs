//! Power, energy, clock and temperature of a GPU board by NVIDIA's management library, opened at
//! run time. Names and numbers are those of `nvml.h`.

use std::ffi::{CString, c_char, c_int, c_uint, c_ulonglong, c_void};
use std::mem::ManuallyDrop;
use std::path::Path;

use libloading::Library;

use crate::engine::telemetry::{GPU_BOARD, Quantity};

/// `nvmlReturn_t`.
type Return = c_int;
const SUCCESS: Return = 0;
type Handle = *mut c_void;

/// `NVML_CLOCK_SM`.
const CLOCK_SM: c_int = 1;
/// `NVML_CLOCK_MEM`.
const CLOCK_MEM: c_int = 2;
/// `NVML_TEMPERATURE_GPU`.
const TEMPERATURE_GPU: c_int = 0;
/// Reasons for lower clocks that are no choice of the user's, `nvmlClocksEventReason...`.
const THROTTLED: [(&str, c_ulonglong); 4] = [
    ("power cap", 0x04),
    ("hardware slowdown", 0x08),
    ("thermal", 0x20 | 0x40),
    ("power brake", 0x80),
];

type Number = unsafe extern "C" fn(Handle, *mut c_uint) -> Return;
type Counter = unsafe extern "C" fn(Handle, *mut c_ulonglong) -> Return;
type OfKind = unsafe extern "C" fn(Handle, c_int, *mut c_uint) -> Return;

/// The GPU that measures, as the library sees it. What its driver does not tell is absent.
pub struct Nvml {
    device: Handle,
    /// mW.
    power: Option<Number>,
    /// mJ since the driver was loaded; Volta and later.
    energy: Option<Counter>,
    clock: Option<OfKind>,
    temperature: Option<OfKind>,
    reasons: Option<Counter>,
    /// Holds the functions. Never closed: it has threads of its own.
    _library: ManuallyDrop<Library>,
}

// SAFETY: NVML is thread-safe (its reference, "Thread Safety"), and the handle is never freed.
unsafe impl Send for Nvml {}

impl Nvml {
    /// Opens the library, by its name in the system's folders or by a path, and finds the GPU on a
    /// PCI bus id (`0000:65:00.0`). None where there is no such library or GPU.
    pub fn open(library: &Path, bus_id: &str) -> Option<Self> {
        // SAFETY: the library is NVIDIA's, by its own name, or one that a test names.
        let library = ManuallyDrop::new(unsafe { Library::new(library) }.ok()?);
        // SAFETY: the signatures are those of nvml.h; the symbols live as long as the library,
        // which `Self` holds.
        unsafe {
            let init = library
                .get::<unsafe extern "C" fn() -> Return>(b"nvmlInit_v2\0")
                .ok()?;
            if init() != SUCCESS {
                return None;
            }
            let by_bus = library
                .get::<unsafe extern "C" fn(*const c_char, *mut Handle) -> Return>(
                    b"nvmlDeviceGetHandleByPciBusId_v2\0",
                )
                .ok()?;
            let bus = CString::new(bus_id).ok()?;
            let mut device = std::ptr::null_mut();
            if by_bus(bus.as_ptr(), &raw mut device) != SUCCESS || device.is_null() {
                return None;
            }
            let number = |name: &[u8]| library.get::<Number>(name).ok().map(|f| *f);
            let counter = |name: &[u8]| library.get::<Counter>(name).ok().map(|f| *f);
            let of_kind = |name: &[u8]| library.get::<OfKind>(name).ok().map(|f| *f);
            Some(Self {
                device,
                power: number(b"nvmlDeviceGetPowerUsage\0"),
                energy: counter(b"nvmlDeviceGetTotalEnergyConsumption\0"),
                clock: of_kind(b"nvmlDeviceGetClockInfo\0"),
                temperature: of_kind(b"nvmlDeviceGetTemperature\0"),
                reasons: counter(b"nvmlDeviceGetCurrentClocksEventReasons\0")
                    .or_else(|| counter(b"nvmlDeviceGetCurrentClocksThrottleReasons\0")),
                _library: library,
            })
        }
    }

    /// Present values.
    pub fn sample(&self) -> Vec<(Quantity, String, f64)> {
        let mut values = Vec::new();
        let mut add = |quantity, name: &str, value: Option<f64>| {
            if let Some(value) = value {
                values.push((quantity, name.to_owned(), value));
            }
        };
        let of_kind = |call: Option<OfKind>, kind: c_int| {
            let mut value = 0;
            // SAFETY: the device is valid and one number is written.
            let r = unsafe { call?(self.device, kind, &raw mut value) };
            (r == SUCCESS).then(|| f64::from(value))
        };
        let counter = |call: Option<Counter>| {
            let mut value = 0;
            // SAFETY: as above.
            let r = unsafe { call?(self.device, &raw mut value) };
            (r == SUCCESS).then_some(value)
        };
        let power = self.power.and_then(|call| {
            let mut mw = 0;
            // SAFETY: as above.
            let r = unsafe { call(self.device, &raw mut mw) };
            (r == SUCCESS).then(|| f64::from(mw) / 1e3)
        });
        add(Quantity::PowerW, GPU_BOARD, power);
        let energy = counter(self.energy).map(|mj| mj as f64 / 1e3);
        add(Quantity::EnergyJ, GPU_BOARD, energy);
        add(Quantity::ClockMhz, "gpu", of_kind(self.clock, CLOCK_SM));
        add(
            Quantity::ClockMhz,
            "gpu memory",
            of_kind(self.clock, CLOCK_MEM),
        );
        let celsius = of_kind(self.temperature, TEMPERATURE_GPU);
        add(Quantity::TemperatureC, "gpu", celsius);
        if let Some(reasons) = counter(self.reasons) {
            for (name, mask) in THROTTLED {
                add(
                    Quantity::Throttling,
                    name,
                    Some(f64::from(u8::from(reasons & mask != 0))),
                );
            }
        }
        values
    }
}
