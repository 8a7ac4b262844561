// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
	"github.com/caddy-webhook-inbox/inbox/queue/badgerqueue/journal"
)

// sample is a message that uses every field.
func sample() *messageRecord {
	body := []byte("{\"a\":\x00}")
	return &messageRecord{
		message: &queue.Message{
			ID:         queue.ID{1, 2, 3, 15: 16},
			Endpoint:   "github",
			ReceivedAt: time.Unix(1750000000, 123456789),
			Scheme:     "hmac",
			FreshUntil: time.Unix(1750000300, 0),
			Request: queue.Request{
				Method: "POST", URI: "/hook?x=1", OriginalURI: "/in/hook?x=1", Proto: "HTTP/2.0",
				Host:       "hooks.example.com",
				Header:     http.Header{"X-Many": {"a", "", "b"}, "Content-Type": {"application/json"}, "X-None": nil},
				Body:       body,
				RemoteAddr: "192.0.2.1:1234", ClientIP: "198.51.100.7", TrustedProxy: true,
				TLS: &queue.TLS{Version: 0x304, CipherSuite: 0x1301, ServerName: "hooks.example.com", NegotiatedProtocol: "h2"},
			},
		},
		keys: []queue.Key{
			{Kind: queue.KeyID, Hash: sha256.Sum256([]byte("id")), Window: 96 * time.Hour},
			{Kind: queue.KeyContent, Hash: sha256.Sum256([]byte("content")), Window: time.Hour},
		},
		length: uint64(len(body)),
	}
}

var (
	sampleLocated = located{
		record: journal.Place{Segment: 7, Offset: 4096, Length: 300},
		body:   []journal.Place{{Segment: 6, Offset: 8192, Length: maxChunk}, {Segment: 7, Offset: 5000, Length: 12}},
		id:     queue.ID{9, 15: 1}, receivedAt: time.Unix(1750000000, 5), size: 4711, keysUntil: 1750100000,
	}
	sampleHistory = queue.History{Attempts: 3, Failures: 2, Delayed: time.Minute, LastError: "503"}
)

func TestAMessageIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	want := sample()
	got, err := decodeMessage(want.encode())
	must(t, err)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v %+v\nwant %+v %+v", got, got.message, want, want.message)
	}
}

func TestAnEmptyMessageIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	want := &messageRecord{message: &queue.Message{Request: queue.Request{TLS: &queue.TLS{}}}}
	got, err := decodeMessage(want.encode())
	must(t, err)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v %+v\nwant %+v %+v", got, got.message, want, want.message)
	}
}

func TestPlacesAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	w := waitingRecord{located: sampleLocated, nacked: true, due: 1750000001000, delay: time.Hour, history: sampleHistory}
	if got, err := decodeWaiting(w.encode()); err != nil || !reflect.DeepEqual(got, w) {
		t.Errorf("waiting: got %+v, %v\nwant %+v", got, err, w)
	}
	s := settledRecord{located: sampleLocated, history: sampleHistory, reason: "410", at: time.Unix(1, 2), until: time.Unix(3, 4)}
	if got, err := decodeSettled(s.encode()); err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("settled: got %+v, %v\nwant %+v", got, err, s)
	}
	c := counters{1, 2, 3, 4, 5, 6, 7, duePlace{8, 9}, duePlace{}}
	if got, err := decodeCounters(c.encode()); err != nil || got != c {
		t.Errorf("counters: got %+v, %v\nwant %+v", got, err, c)
	}
	v := state{schemaVersion, 2, 3, 4}
	if got, err := decodeState(v.encode()); err != nil || got != v {
		t.Errorf("state: got %+v, %v\nwant %+v", got, err, v)
	}
	k := keyRecord{7, queue.ID{1}, time.Unix(5, 6)}
	if got, err := decodeKey(k.encode()); err != nil || !reflect.DeepEqual(got, k) {
		t.Errorf("key: got %+v, %v\nwant %+v", got, err, k)
	}
	o := &queue.Outage{Since: time.Unix(1, 0), Probes: 2, NextProbe: time.Unix(3, 0), LastError: "refused", Route: "r"}
	if got, err := decodeOutage(encodeOutage(o)); err != nil || !reflect.DeepEqual(got, o) {
		t.Errorf("outage: got %+v, %v\nwant %+v", got, err, o)
	}
}

// If this test fails, messages on the disks of users cannot be read any more.
func TestTheFormatOfRecordsDoesNotChange(t *testing.T) {
	t.Parallel()
	w := waitingRecord{located: sampleLocated, nacked: true, due: 1750000001000, delay: time.Hour, history: sampleHistory}
	s := settledRecord{located: sampleLocated, history: sampleHistory, reason: "410", at: time.Unix(1, 2), until: time.Unix(3, 4)}
	c := counters{1, 2, 3, 4, 5, 6, 7, duePlace{8, 9}, duePlace{}}
	v := state{schemaVersion, 2, 3, 4}
	k := keyRecord{7, queue.ID{1}, time.Unix(5, 6)}
	for name, golden := range map[string]struct {
		record []byte
		want   string
	}{
		"message":  {sample().encode(), goldenMessage},
		"waiting":  {w.encode(), goldenWaiting},
		"settled":  {s.encode(), goldenSettled},
		"counters": {c.encode(), goldenCounters},
		"state":    {v.encode(), goldenState},
		"key":      {k.encode(), goldenKey},
	} {
		if got := hex.EncodeToString(golden.record); got != golden.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, golden.want)
		}
	}
}

func TestAnUnknownFieldIsSkipped(t *testing.T) {
	t.Parallel()
	e := encoder(sample().encode())
	e.text(1000, "from the future")
	got, err := decodeMessage(e)
	if err != nil || !reflect.DeepEqual(got, sample()) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestARecordOfANewerVersionIsRefused(t *testing.T) {
	t.Parallel()
	record := sample().encode()
	record[0] = recordVersion + 1
	if _, err := decodeMessage(record); !errors.Is(err, errNewerRecord) {
		t.Errorf("got %v", err)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(sample().encode())
	f.Add((&waitingRecord{located: sampleLocated, history: sampleHistory}).encode())
	f.Add((&counters{waiting: 1}).encode())
	f.Add([]byte{1, 11, 4, 1, 2, 'a', 'b'})
	f.Fuzz(func(t *testing.T, record []byte) {
		if r, err := decodeMessage(record); err == nil {
			// What says nothing, such as an empty field, is not written again; all
			// else is.
			written := r.encode()
			again, err := decodeMessage(written)
			if err != nil || !bytes.Equal(again.encode(), written) {
				t.Errorf("read again: %+v, %v\nbefore: %+v", again, err, r)
			}
		}
		_, _ = decodeWaiting(record)
		_, _ = decodeSettled(record)
		_, _ = decodeCounters(record)
		_, _ = decodeState(record)
		_, _ = decodeKey(record)
		_, _ = decodeOutage(record)
	})
}
