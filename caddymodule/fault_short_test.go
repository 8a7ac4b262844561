// SPDX-License-Identifier: Apache-2.0

//go:build !faults

package caddymodule_test

const faultsAreLong = false
