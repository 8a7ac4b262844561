// SPDX-License-Identifier: Apache-2.0

package journal

import "reflect"

// pages returns n bytes that begin at a page of memory, as direct writes must.
func pages(n int) []byte {
	b := make([]byte, n+pageSize)
	skip := -int(reflect.ValueOf(b).Pointer()) & (pageSize - 1) // what is on the heap stays there
	return b[skip : skip : skip+n]
}
