// SPDX-License-Identifier: Apache-2.0

package doctor_test

import (
	"encoding/base64"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/doctor"
)

const raw = "POST /hooks?a=1 HTTP/1.1\r\n" +
	"Host: hooks.example.com\r\n" +
	"X-Signature: sha256=abc\r\n" +
	"Content-Type: application/json\r\n" +
	"\r\n" +
	"{\"n\": 1}\n"

// However a tool keeps a request, it is the same request.
func TestCaptureForms(t *testing.T) {
	t.Parallel()
	const body = `{\"n\": 1}\n` // within JSON
	for name, capture := range map[string]string{
		"HTTP/1.1":                    raw,
		"LF alone":                    strings.ReplaceAll(raw, "\r\n", "\n"),
		"no version":                  strings.Replace(raw, " HTTP/1.1", "", 1),
		"white space before":          "\n\n" + raw,
		"byte order mark":             "\ufeff" + raw,
		"absolute URL":                strings.Replace(raw, "/hooks", "https://hooks.example.com/hooks", 1),
		"Content-Length":              strings.Replace(raw, "Host:", "Content-Length: 9\r\nHost:", 1),
		"Content-Length, more behind": strings.Replace(raw, "Host:", "Content-Length: 9\r\nHost:", 1) + "\r\n",
		"chunked":                     strings.Replace(strings.Replace(raw, "Host:", "Transfer-Encoding: chunked\r\nHost:", 1), "{\"n\": 1}\n", "4\r\n{\"n\"\r\n5\r\n: 1}\n\r\n0\r\n\r\n", 1),
		"curl -v": "* Connected to hooks.example.com\n" +
			"> " + strings.ReplaceAll(raw[:strings.Index(raw, "\r\n{")], "\r\n", "\r\n> ") + "\r\n{\"n\": 1}\n",
		"webhook.site": `{"uuid": "1", "type": "web", "method": "POST", "content": "` + body + `", "url": "https://hooks.example.com/hooks?a=1",
			"query": {"a": "1"}, "headers": {"x-signature": ["sha256=abc"], "content-type": ["application/json"], "host": ["hooks.example.com"]}}`,
		"a list of one": `{"data": [{"method": "POST", "content": "` + body + `", "url": "https://hooks.example.com/hooks?a=1",
			"headers": {"x-signature": ["sha256=abc"], "content-type": ["application/json"]}}], "total": 1}`,
		"Pipedream": `{"method": "POST", "path": "/hooks", "query": {"a": "1"}, "url": "https://hooks.example.com/hooks?a=1", "client_ip": "192.0.2.1",
			"headers": {"host": "hooks.example.com", "x-signature": "sha256=abc", "content-type": "application/json"}, "bodyRaw": "` + body + `", "body": {"n": 1}}`,
		"Hookdeck": `{"id": "req_1", "data": {"path": "/hooks", "query": "a=1", "method": "POST",
			"headers": {"host": "hooks.example.com", "x-signature": "sha256=abc", "content-type": "application/json"}, "body": "` + body + `", "is_large_payload": false}}`,
		"ngrok": `{"requests": [{"id": "1", "request": {"method": "POST", "uri": "/hooks?a=1", "headers": {"X-Signature": ["sha256=abc"]}, "raw": "` +
			base64.StdEncoding.EncodeToString([]byte(raw)) + `"}, "response": {"status": "200 OK"}}]}`,
		"httpbin": `{"args": {"a": "1"}, "data": "` + body + `", "files": {}, "form": {}, "headers": {"Host": "hooks.example.com", "X-Signature": "sha256=abc",
			"Content-Type": "application/json"}, "json": {"n": 1}, "method": "POST", "url": "https://hooks.example.com/hooks?a=1"}`,
		"API Gateway": `{"version": "2.0", "rawPath": "/hooks", "rawQueryString": "a=1", "isBase64Encoded": true, "requestContext": {"http": {"method": "POST"}},
			"headers": {"host": "hooks.example.com", "x-signature": "sha256=abc", "content-type": "application/json"}, "body": "` + base64.StdEncoding.EncodeToString([]byte("{\"n\": 1}\n")) + `"}`,
		"HAR": `{"log": {"version": "1.2", "entries": [{"request": {"method": "POST", "url": "https://hooks.example.com/hooks?a=1", "headers": [
			{"name": ":authority", "value": "hooks.example.com"}, {"name": "X-Signature", "value": "sha256=abc"}, {"name": "Content-Type", "value": "application/json"}],
			"postData": {"mimeType": "application/json", "text": "` + body + `"}}}]}}`,
		"Postman": `{"info": {"name": "hooks"}, "item": [{"name": "a hook", "request": {"method": "POST", "header": [
			{"key": "X-Signature", "value": "sha256=abc"}, {"key": "Content-Type", "value": "application/json"}, {"key": "X-Signature", "value": "old", "disabled": true}],
			"body": {"mode": "raw", "raw": "` + body + `", "options": {"raw": {"language": "json"}}},
			"url": {"raw": "https://hooks.example.com/hooks?a=1", "host": ["hooks", "example", "com"], "path": ["hooks"]}}}]}`,
		"flag beside the body": `{"method": "POST", "url": "https://hooks.example.com/hooks?a=1", "headers": {"X-Signature": "sha256=abc", "Content-Type": "application/json"},
			"bodyBase64": true, "body": "eyJuIjog\r\nMX0K\n"}`,
		"base64 beside a text": `{"method": "POST", "url": "https://hooks.example.com/hooks?a=1", "headers": {"X-Signature": "sha256=abc", "Content-Type": "application/json"},
			"bodyBase64": "eyJuIjogMX0K", "body": "?"}`,
		"curl -v, remarks between": "* Trying 192.0.2.1\n> POST /hooks?a=1 HTTP/1.1\n> Host: hooks.example.com\n* a remark\n> X-Signature: sha256=abc\n} [9 bytes data]\n" +
			"> Content-Type: application/json\n> \n* upload completely sent off: 9 bytes\n{\"n\": 1}\n",
		"pairs": `{"method": "post", "uri": "/hooks?a=1", "headers": [["Host", "hooks.example.com"], ["X-Signature", "sha256=abc"], ["Content-Type", "application/json"]], "raw_body": "` + body + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := doctor.ParseCapture([]byte(capture))
			if err != nil {
				t.Fatal(err)
			}
			r := c.Request
			if r.Method != http.MethodPost || r.URI != "/hooks?a=1" || string(r.Body) != "{\"n\": 1}\n" {
				t.Errorf("got %s %s and the body %q", r.Method, r.URI, r.Body)
			}
			for name, want := range map[string]string{
				"http.request.scheme":    "https",
				"http.request.host":      "hooks.example.com",
				"http.request.hostport":  "hooks.example.com",
				"http.request.uri.path":  "/hooks",
				"http.request.uri.query": "a=1",
				"http.request.method":    "POST",
			} {
				if got, ok := r.Lookup(name); !ok || got != want {
					t.Errorf("{%s} is %q, want %q", name, got, want)
				}
			}
			if r.Header.Get("Host") != "" {
				t.Error("Host is among the header fields, where a server has none")
			}
			if got := r.Header["X-Signature"]; !reflect.DeepEqual(got, []string{"sha256=abc"}) {
				t.Errorf("X-Signature is %q", got)
			}
			if len(c.Remarks) > 0 {
				t.Errorf("remarks: %q", c.Remarks)
			}
		})
	}
}

// What a capture has lost is said.
func TestCaptureRemarks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ capture, want, body string }{
		"parsed":           {`{"method": "POST", "headers": {"a": "b"}, "body": {"z": 1, "a": [true, "/"]}}`, "re-serialised", `{"z":1,"a":[true,"/"]}`},
		"form":             {`{"method": "POST", "headers": {"a": "b"}, "data": "", "form": {"z": "1"}}`, "re-serialised", ""},
		"not base64":       {`{"method": "POST", "headers": {"a": "b"}, "body": "{}", "isBase64Encoded": true}`, "not: it is taken as it stands", "{}"},
		"curl -v":          {"> POST / HTTP/1.1\n> A: b\n> \n* sent off\n< HTTP/1.1 200 OK\n< \nok", "does not write the body", ""},
		"parameters":       {`{"httpMethod": "POST", "path": "/", "headers": {"a": "b"}, "queryStringParameters": {"a": "1", "b": "2 3"}, "body": "body"}`, "in another order", "body"},
		"no method":        {"A: b\n\nbody", "POST is assumed", "body"},
		"cut off":          {"POST / HTTP/1.1\nContent-Length: 9\n\nbody", "4 bytes, but Content-Length says 9", "body"},
		"too long":         {"POST / HTTP/1.1\nContent-Length: 4\n\nbody, and more", "the first 4 are taken", "body"},
		"chunks taken out": {"POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n{\"n\": 1}", "there are none", `{"n": 1}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := doctor.ParseCapture([]byte(c.capture))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(strings.Join(got.Remarks, "\n"), c.want) {
				t.Errorf("remarks %q, want %q", got.Remarks, c.want)
			}
			if string(got.Request.Body) != c.body {
				t.Errorf("body %q, want %q", got.Request.Body, c.body)
			}
		})
	}
}

// What is no request is refused, and nothing of it is in the error.
func TestCaptureErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ capture, want string }{
		"empty":            {" \r\n", "empty"},
		"text":             {"s3cret body of text", "line 1"},
		"bad field":        {"POST / HTTP/1.1\nHost: a\ns3cret\n\n", "line 3"},
		"bad name":         {"POST / HTTP/1.1\ns3 cret: a\n\n", "line 2"},
		"only a line":      {"POST / HTTP/1.1", "no header fields"},
		"bad version":      {"POST /s3cret s3cret\n\n", "request line"},
		"JSON cut off":     {`{"headers": {"a": "s3cret"`, "but is none"},
		"no headers":       {`{"method": "POST", "body": "s3cret"}`, "without a request"},
		"several requests": {`{"data": [{"headers": {}}, {"headers": {}}]}`, "list of 2 requests"},
		"odd headers":      {`{"headers": "s3cret"}`, "a form that is not known"},
		"odd value":        {`{"headers": {"a": {"b": "s3cret"}}}`, "header field a of the capture has a value that is no text"},
		"null value":       {`{"headers": {"Content-Length": null}}`, "header field Content-Length of"},
		"null in a list":   {`{"headers": [{"name": "s3 cret", "value": null}]}`, "a name that can be none"},
		"ftp":              {`{"url": "ftp://s3cret/", "headers": {}}`, "neither http nor https"},
		"space in the URL": {`{"url": "/s3cret /", "headers": {}}`, "space"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := doctor.ParseCapture([]byte(c.capture))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q in it", err, c.want)
			}
			if strings.Contains(err.Error(), "s3") {
				t.Errorf("the error holds some of the request: %v", err)
			}
		})
	}
}

// Whatever a file holds, it is a request or an error, and diagnosing it ends well.
func FuzzCapture(f *testing.F) {
	f.Add([]byte(raw))
	f.Add([]byte("> POST / HTTP/1.1\n> Host: a\n> \n{}"))
	f.Add([]byte(`{"method": "POST", "url": "https://a/b", "headers": {"X-Sig": "v1=00"}, "body": {"a": 1}}`))
	f.Add([]byte(`[{"request": {"headers": [["a", "b"]], "raw": "R0VUIC8gSFRUUC8xLjENCkE6IGINCg0K"}}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := doctor.ParseCapture(data)
		if err != nil {
			return
		}
		if c.Request == nil || !strings.HasPrefix(c.Request.URI, "/") || c.Request.Header == nil || c.Request.Lookup == nil {
			t.Fatalf("not a request: %+v", c.Request)
		}
		if len(data) > 2000 {
			return
		}
		for _, find := range []func(*verify.Request, []string) doctor.Report{search, diagnose} {
			if report := find(c.Request, []string{"a secret that nobody has"}); report.Genuine() {
				t.Errorf("it is genuine under a secret that nobody has: %+v", report)
			}
		}
	})
}
