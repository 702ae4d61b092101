//! What a host function can reach: the VM's state, and the guest's memory behind bounds checks.

use wasmtime::{AsContext, AsContextMut, Caller};

use crate::abi::HostState;
use crate::abi::contexts::{Effective, StreamContext};
use crate::abi::failure::{Failure, Unwind};
use crate::abi::functions::When;
use crate::abi::types::Phase;
use std::rc::Rc;

/// One call of a host function.
pub(crate) struct Host<'a> {
    caller: Caller<'a, HostState>,
}

impl<'a> Host<'a> {
    pub(crate) fn new(mut caller: Caller<'a, HostState>) -> Self {
        caller.data_mut().host_calls += 1;
        Self { caller }
    }

    /// Refuses functions that a guest may not call while it starts or allocates: nothing stands ready for them.
    pub(crate) fn permit(&self, function: &'static str, when: When) -> Result<(), Failure> {
        let permitted = match self.state().phase {
            Phase::Running => true,
            Phase::Initializing => when >= When::Start,
            Phase::Allocating => when >= When::Always,
        };
        if permitted {
            Ok(())
        } else {
            Err(Unwind::Forbidden {
                function,
                phase: self.state().phase,
            }
            .into())
        }
    }

    pub(crate) fn state(&self) -> &HostState {
        self.caller.data()
    }

    pub(crate) fn state_mut(&mut self) -> &mut HostState {
        self.caller.data_mut()
    }

    /// The stream the guest acts on, unless it is the root context.
    pub(crate) fn stream(&self) -> Option<Rc<StreamContext>> {
        match &self.state().effective {
            Effective::Stream(stream) => Some(Rc::clone(stream)),
            Effective::Root => None,
        }
    }

    /// Bytes of the guest's memory; [`Failure::OutsideMemory`] when they are not all inside.
    pub(crate) fn read(&self, address: u32, size: u32) -> Result<&[u8], Failure> {
        let Some(memory) = &self.state().memory else {
            return Err(Failure::OutsideMemory);
        };
        let data = memory.data(self.caller.as_context());
        data.get(range(address, size)).ok_or(Failure::OutsideMemory)
    }

    /// Whether an out-parameter can be written: asked before anything happens that cannot be taken back.
    pub(crate) fn check(&self, address: u32, size: u32) -> Result<(), Failure> {
        self.read(address, size).map(|_| ())
    }

    pub(crate) fn write(&mut self, address: u32, bytes: &[u8]) -> Result<(), Failure> {
        self.bytes_mut(address, bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    pub(crate) fn write_u32(&mut self, address: u32, value: u32) -> Result<(), Failure> {
        self.write(address, &value.to_le_bytes())
    }

    pub(crate) fn write_u64(&mut self, address: u32, value: u64) -> Result<(), Failure> {
        self.write(address, &value.to_le_bytes())
    }

    pub(crate) fn read_u32(&self, address: u32) -> Result<u32, Failure> {
        let bytes = self.read(address, 4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// Memory the host fills in place.
    pub(crate) fn bytes_mut(&mut self, address: u32, size: usize) -> Result<&mut [u8], Failure> {
        let Some(memory) = self.state().memory else {
            return Err(Failure::OutsideMemory);
        };
        let start = address as usize;
        let data = memory.data_mut(self.caller.as_context_mut());
        start
            .checked_add(size)
            .and_then(|end| data.get_mut(start..end))
            .ok_or(Failure::OutsideMemory)
    }

    /// Hands `bytes` to the guest in memory of its own allocator, address and size in the two out-parameters.
    pub(crate) fn return_bytes(&mut self, bytes: &[u8], data_out: u32, size_out: u32) -> Result<(), Failure> {
        self.return_filled(bytes.len(), data_out, size_out, |target| target.copy_from_slice(bytes))
    }

    /// Like [`Host::return_bytes`], with the bytes written where they end up. Nothing is allocated for no bytes.
    pub(crate) fn return_filled(
        &mut self,
        size: usize,
        data_out: u32,
        size_out: u32,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<(), Failure> {
        self.check(data_out, 4)?;
        self.check(size_out, 4)?;
        let mut address = 0;
        if size > 0 {
            address = self.allocate(size)?;
            // Memory may have moved or grown: nothing from before the allocator's call is used here.
            let target = self
                .bytes_mut(address, size)
                .map_err(|_| Unwind::BadAllocation { address, size })?;
            fill(target);
        }
        self.write_u32(data_out, address)?;
        self.write_u32(size_out, size as u32)
    }

    /// The only way from a host function back into the guest. The deadline of the surrounding callback still
    /// runs: a guest cannot win time by asking for data in a loop.
    fn allocate(&mut self, size: usize) -> Result<u32, Failure> {
        let Some(allocator) = self.state().allocator.clone() else {
            return Err(Unwind::BadAllocation { address: 0, size }.into());
        };
        let asked = u32::try_from(size).map_err(|_| Unwind::BadAllocation { address: 0, size })?;
        let before = std::mem::replace(&mut self.state_mut().phase, Phase::Allocating);
        let address = allocator.call(&mut self.caller, asked);
        self.state_mut().phase = before;
        match address.map_err(Unwind::Guest)? {
            0 => Err(Unwind::BadAllocation { address: 0, size }.into()),
            address => Ok(address),
        }
    }
}

fn range(address: u32, size: u32) -> std::ops::Range<usize> {
    let start = address as usize;
    // usize has 64 bits on every platform wasmtime compiles for: this cannot wrap.
    start..start.saturating_add(size as usize)
}
