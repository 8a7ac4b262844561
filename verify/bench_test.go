// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"bytes"
	"strconv"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

func BenchmarkVerifySvix(b *testing.B) {
	benchmark(b, func(body []byte) (verify.Verifier, request) {
		return newStandard(b, key), signStandard(key, "svix", "msg_1", strconv.Itoa(now), body)
	})
}

func BenchmarkVerifyGitHub(b *testing.B) {
	benchmark(b, func(body []byte) (verify.Verifier, request) {
		return newHMAC(b, github()), signGitHub(body)
	})
}

func benchmark(b *testing.B, setup func(body []byte) (verify.Verifier, request)) {
	for _, size := range []int{1 << 10, 1 << 20} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			v, r := setup(bytes.Repeat([]byte("x"), size))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(r.Request, time.Unix(now, 0)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
