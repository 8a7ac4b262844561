// SPDX-License-Identifier: Apache-2.0

//go:build !faults

package queue_test

const faultsAreLong = false
