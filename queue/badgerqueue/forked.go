// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import "syscall"

// awaitForked waits until no child that is being forked has files that are closed
// already. It has a copy of each until it runs its program, and with that of a
// directory its lock: who opens that directory is told that it is in use.
//
// On Linux this is certain, since Go keeps the lock until the program runs. On other
// systems it keeps it for the fork alone.
func awaitForked() {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
}
