//! Hardware that no list knows, by what its driver says.

use crate::engine::run::Environment;
use crate::platform::{Board, BoardDescription, GpuArch, described};

/// Name of the power mode of hardware without any.
const NO_MODE: &str = "default";

/// The described board that a machine is, if it is one.
pub(super) fn board(environment: &Environment) -> Option<&'static Board> {
    let sms = environment.gpu_facts.map(|f| f.sms);
    described(
        environment.gpu.as_deref()?,
        sms,
        environment.module.as_deref(),
    )
}

/// Whether a machine's GPU is a board of its own, which has no power modes of nvpmodel. What a
/// container shows of it is the driver's word.
pub(super) fn has_no_modes(environment: &Environment) -> bool {
    environment.gpu_facts.is_some_and(|f| !f.integrated)
}

/// What is known of a machine that is no board of dlaplan's: enough to plan for it.
///
/// # Errors
/// The driver says too little, or the GPU is of an architecture that dlaplan knows nothing of.
pub fn description(environment: &Environment) -> Result<BoardDescription, String> {
    let lacks = |what: &str| {
        format!(
            "{}: the driver does not say {what}, so the hardware cannot be described",
            environment.summary()
        )
    };
    let gpu = environment.gpu.as_ref().ok_or_else(|| lacks("its name"))?;
    let facts = environment.gpu_facts.ok_or_else(|| {
        lacks("its SMs, clocks and memory (a worker of an older dlaplan does not ask)")
    })?;
    let capability = environment.compute_capability.as_ref();
    let capability = capability.ok_or_else(|| lacks("its compute capability"))?;
    if GpuArch::of(capability).is_none() {
        return Err(format!(
            "{gpu} has compute capability {capability}; dlaplan does not know how much such a GPU \
             computes per clock, so it cannot be planned for"
        ));
    }
    let highest = |name: &str| {
        let mut ranges = environment.clock_ranges.iter();
        ranges.find(|c| c.name == name).and_then(|c| c.max_mhz)
    };
    // The driver of a Jetson gives the GPU's clock for the memory's.
    let memory_mhz = highest("emc").unwrap_or(facts.memory_mhz);
    let gpu_mhz = highest("gpu").unwrap_or(facts.clock_mhz);
    let name = match &environment.board {
        Some(board) if facts.integrated => board.clone(),
        _ => gpu.clone(),
    };
    let cores = environment.dla_cores.filter(|n| *n > 0);
    Ok(BoardDescription {
        schema: BoardDescription::SCHEMA,
        id: BoardDescription::id_of(&name),
        gpu: gpu.clone(),
        module: environment.module.clone(),
        compute_capability: capability.clone(),
        memory_gb: (facts.memory_bytes as f64 / f64::from(1 << 30)).round() as u32,
        sms: facts.sms,
        l2_bytes: (facts.l2_bytes > 0).then_some(facts.l2_bytes),
        mode: environment
            .power_mode
            .clone()
            .filter(|_| facts.integrated)
            .unwrap_or_else(|| NO_MODE.to_owned()),
        gpu_mhz,
        memory_mhz,
        dram_gbs: memory_mhz * 2.0 * f64::from(facts.bus_bits) / 8.0 / 1e3,
        dla: cores.zip(highest("dla0").or_else(|| highest("dla"))),
        tensorrt: environment.tensorrt.clone().unwrap_or_default(),
        source: format!(
            "the driver of {}: {} SMs, {gpu_mhz:.0} MHz, {} bit of memory at {memory_mhz:.0} MHz",
            if environment.host.is_empty() {
                "a machine"
            } else {
                &environment.host
            },
            facts.sms,
            facts.bus_bits
        ),
        name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::environment::{place, target};
    use crate::engine::run::GpuFacts;
    use crate::platform::describe;

    #[test]
    fn a_gpu_that_nobody_described_becomes_a_board() {
        let machine = Environment {
            host: "desk".into(),
            board: Some("PowerEdge".into()),
            container: true,
            gpu: Some("NVIDIA H999 PCIe".into()),
            compute_capability: Some("9.0".into()),
            tensorrt: Some("8.5.2".into()),
            gpu_facts: Some(GpuFacts {
                sms: 132,
                clock_mhz: 1980.0,
                memory_mhz: 2619.0,
                bus_bits: 5120,
                l2_bytes: 50 << 20,
                memory_bytes: 80 << 30,
                integrated: false,
            }),
            ..Environment::default()
        };
        assert_eq!(target(&machine), None);
        let found = description(&machine).unwrap();
        assert_eq!(
            (&*found.id, &*found.name),
            ("h999-pcie", "NVIDIA H999 PCIe")
        );
        assert!((found.dram_gbs - 3352.3).abs() < 0.1);
        describe(&found).unwrap();
        let target = place(&machine).unwrap();
        assert_eq!(target.id(), "h999-pcie@default:8.5");
        let mut other = machine.clone();
        other.gpu_facts = other.gpu_facts.map(|f| GpuFacts { sms: 114, ..f });
        assert!(place(&other).is_err(), "another variant of the GPU");
        let unheard = Environment {
            compute_capability: Some("77.0".into()),
            ..machine.clone()
        };
        assert!(description(&unheard).unwrap_err().contains("77.0"));
        let silent = Environment {
            gpu_facts: None,
            ..machine
        };
        assert!(description(&silent).unwrap_err().contains("older dlaplan"));
    }
}
