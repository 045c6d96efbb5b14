//! What a confined command may not ask the kernel for. At both levels: sockets that lead to other programs of this machine,
//! since no rule about files keeps anybody from connecting to one, and typing into terminals. At the strict level also all
//! other sockets, looking into other processes, and what has to do with the kernel itself.
//!
//! A refused call fails as one that is not permitted; nothing is killed for it. Pairs of connected sockets are allowed:
//! nobody else has their other end.

use std::collections::BTreeMap;

use pipeline_lib::settings::Sandbox;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// Calls that no work in a worktree needs.
const NEVER: &[libc::c_long] = &[
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_open_by_handle_at,
    // Another view of the system.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_unshare,
    // The kernel itself.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
];

/// A way to make sockets that is not looked at here.
const UNSEEN: [libc::c_long; 3] = [libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];

/// Types into a terminal as if a person had; the second does so on a console.
const TYPING: [u64; 2] = [0x5412, 0x541c];
/// The families of sockets that a network needs; the last one asks for addresses and routes.
const NETWORK: [i32; 3] = [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// Says whether this machine can do it.
pub(super) fn available() -> Result<(), String> {
    programs(Sandbox::Strict, false).map(drop)?;
    match std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail") {
        Ok(actions) if actions.split_whitespace().any(|action| action == "errno") => Ok(()),
        _ => Err("this kernel cannot confine a program: it has no seccomp filters".to_owned()),
    }
}

/// Restricts this process, for ever.
pub(super) fn restrict(level: Sandbox, network: bool) -> Result<(), String> {
    for program in programs(level, network)? {
        seccompiler::apply_filter(&program).map_err(|error| format!("its system calls cannot be limited: {error}"))?;
    }
    Ok(())
}

fn programs(level: Sandbox, network: bool) -> Result<Vec<BpfProgram>, String> {
    let text = |error: &dyn std::error::Error| format!("the filter of system calls cannot be made: {error}");
    let compare = |argument, operator, value| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value).map_err(|error| text(&error))
    };
    let rule = |conditions| SeccompRule::new(conditions).map_err(|error| text(&error));
    let family = |operator, family: i32| compare(0, operator, u64::from(family.unsigned_abs()));
    let strict = level == Sandbox::Strict;
    let refused = UNSEEN.iter().chain(NEVER.iter().filter(|_| strict));
    let mut refused: BTreeMap<i64, Vec<SeccompRule>> = refused.map(|call| (*call, Vec::new())).collect();
    let sockets = match (strict, network) {
        (false, _) => vec![rule(vec![family(SeccompCmpOp::Eq, libc::AF_UNIX)?])?],
        (true, true) => {
            let others = NETWORK.map(|known| family(SeccompCmpOp::Ne, known));
            vec![rule(others.into_iter().collect::<Result<_, _>>()?)?]
        }
        (true, false) => Vec::new(),
    };
    refused.insert(libc::SYS_socket, sockets);
    let typing = TYPING.map(|request| rule(vec![compare(1, SeccompCmpOp::Eq, request)?]));
    refused.insert(libc::SYS_ioctl, typing.into_iter().collect::<Result<_, _>>()?);
    // Its flags are in memory, where no filter sees them; whoever is told that there is no such call uses the other one.
    let mut unseen = BTreeMap::new();
    if strict {
        // A new user has all rights in a world of its own, which is where holes of the kernel begin.
        let new_user = u64::from(libc::CLONE_NEWUSER.unsigned_abs());
        refused.insert(libc::SYS_clone, vec![rule(vec![compare(0, SeccompCmpOp::MaskedEq(new_user), new_user)?])?]);
        unseen.insert(libc::SYS_clone3, Vec::new());
    }
    let filter = |rules, errno: i32| -> Result<BpfProgram, String> {
        let arch = std::env::consts::ARCH.try_into().map_err(|error: seccompiler::BackendError| text(&error))?;
        let answer = SeccompAction::Errno(errno.unsigned_abs());
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, answer, arch).map_err(|error| text(&error))?;
        filter.try_into().map_err(|error: seccompiler::BackendError| text(&error))
    };
    let mut programs = vec![filter(refused, libc::EPERM)?];
    if !unseen.is_empty() {
        programs.insert(0, filter(unseen, libc::ENOSYS)?);
    }
    Ok(programs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_can_be_made_for_this_machine() {
        let strict = programs(Sandbox::Strict, false).unwrap();
        let with_network = programs(Sandbox::Strict, true).unwrap();
        let basic = programs(Sandbox::Basic, true).unwrap();
        assert_eq!((basic.len(), strict.len(), with_network.len()), (1, 2, 2));
        assert!(strict != with_network && basic[0].len() < strict[1].len());
    }
}
