use super::*;
use memory::slab::Layout;

const MIB: usize = 1 << 20;

fn slab(layout: Layout) -> Arc<Tensors> {
    Tensors::new(Kind::Cpu, layout).expect("memory")
}

/// A thread of ONNX Runtime's own can neither be refused nor wait.
#[test]
fn a_thread_that_is_not_ours_gets_memory_whatever_is_left() {
    let tensors = slab(Layout([3 * MIB, MIB, MIB]));
    let asked = [MIB, MIB, MIB / 2, 3 * MIB];
    let given = asked.map(|bytes| tensors.allocate(bytes).expect("no refusal"));
    for (pointer, bytes) in given.iter().zip(asked) {
        assert!(!pointer.is_null());
        let pointer = pointer.cast::<u8>();
        #[expect(unsafe_code, reason = "as ONNX Runtime does")]
        // SAFETY: so many bytes were asked for.
        unsafe {
            pointer.write_bytes(1, bytes);
        }
    }
    assert_eq!(tensors.overdrafts(), 2, "beyond activations and reserve");
    assert_eq!(tensors.lock_overdrawn().len(), 2);
    for pointer in given {
        tensors.release(pointer);
    }
    assert!(tensors.lock_overdrawn().is_empty(), "and given back");
    assert_eq!(tensors.slab().in_use(), 0);
}

/// What a session on a device keeps on the host lies in a slab of its own,
/// which has other zones and owners.
#[test]
fn a_second_slab_serves_and_refuses_inside_a_session_of_the_first() {
    let device = slab(Layout([3 * MIB, MIB, MIB]));
    let host = slab(
        Layout::default()
            .with(Zone::Models, MIB)
            .with(Zone::Activations, MIB),
    );
    let owner = {
        let mut slab = device.slab();
        for _ in 0..40 {
            slab.owner("another");
        }
        slab.owner("session")
    };
    let region = device.region(owner, Tenant::Slot, MIB).expect("a region");
    let opened = device.opening(region.place(), owner, || {
        let weight = host.allocate(MIB / 2).expect("room for what opens");
        assert_eq!(host.allocate(MIB), None, "refused, not null");
        host.release(weight);
        Ok(())
    });
    assert!(matches!(opened, Ok(())), "{opened:?}");
    assert_eq!(host.slab().zone(Zone::Models).in_use, 0);
    REFUSED.set(None);
    within(device.scope(ACTIVATIONS, owner), || {
        let held = host.allocate(MIB / 2).expect("room for a run");
        assert_eq!(host.slab().zone(Zone::Activations).in_use, MIB / 2);
        host.release(held);
        assert_eq!(host.allocate(2 * MIB), None, "refused, not null");
    });
    assert!(REFUSED.take().is_some(), "the run is told why");
    drop(region);
    assert_eq!(device.slab().held(owner).0, 0, "none of it is the device's");
    assert_eq!(device.slab().in_use() + host.slab().in_use(), 0);
}
