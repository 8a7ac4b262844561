// SPDX-License-Identifier: Apache-2.0

package journal

import "unsafe"

// pages returns n bytes that begin at a page of memory, as direct writes must.
func pages(n int) []byte {
	b := make([]byte, n+pageSize)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (pageSize - 1)
	return b[skip : skip : skip+n]
}
