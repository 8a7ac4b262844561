// SPDX-License-Identifier: Apache-2.0

//go:build !faults

package badgerqueue

const faultsAreLong = false
