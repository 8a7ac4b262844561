// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// An attacker catches the first packets of a sender that resumes a connection over
// HTTP/3, with a webhook as early data in them, and sends them himself: to Caddy they
// are the begin of a connection of that sender. None of it is accepted before the
// handshake has ended, which the attacker cannot bring about; the sender, who can, is
// answered 425 meanwhile and accepted after it.
func TestAttackReplayOfEarlyData(t *testing.T) {
	app := newApplication(t)
	s := newServer(t)
	secure := freeAddr(t)
	_, port, _ := net.SplitHostPort(secure)
	certificate, key := testCertificate(t)
	inbox := "webhook_inbox demo {\n verify token X-Webhook-Token secret-token\n dedupe off\n deliver " + app.addr + "\n }\n"
	config := s.caddyfile("servers {\n protocols h1 h2 h3\n }", inbox) +
		"https://example.com:" + port + " {\n bind 127.0.0.1\n tls " + certificate + " " + key + "\n" + inbox + "}\n"
	if err := s.tryLoad(config); err != nil {
		t.Fatal(err)
	}
	early := func() float64 {
		return s.metric(`caddy_webhook_inbox_received_total{endpoint="demo",outcome="early_data"}`)
	}

	// connected returns a sender that was connected before, and can resume.
	connected := func() *http3Client {
		session := &tls.Config{
			ServerName: "example.com", InsecureSkipVerify: true, // the certificate is not what this is about
			ClientSessionCache: tls.NewLRUClientSessionCache(1),
		}
		first := dialHTTP3(t, secure, session)
		if status, err := first.send(t, http.MethodGet); status != http.StatusAccepted {
			t.Fatalf("status %d, %v", status, err)
		}
		first.close()
		app.next()
		return dialHTTP3(t, secure, session)
	}

	// The sender resumes. What Caddy says to it is held back, so that all it sends
	// is sent before the handshake.
	sender := connected()
	release := sender.packets.hold()
	defer release()
	answered := make(chan int, 1)
	go func() {
		status, _ := sender.send(t, http3.MethodGet0RTT)
		answered <- status
	}()
	eventually(t, "early data is refused", func() bool { return early() == 1 })
	release()
	if status := receive(t, answered, "the sender is answered"); status != http.StatusTooEarly {
		t.Errorf("status %d, want 425", status)
	}
	if !sender.used0RTT() {
		t.Fatal("there was no early data, so this shows nothing")
	}
	if status, _ := sender.send(t, http.MethodGet); status != http.StatusAccepted {
		t.Errorf("after the handshake: status %d, want 202", status)
	}
	app.next()

	for n := 2; n < 2+rounds(2, 20); n++ {
		caught := connected()
		packets := caught.packets.catch()
		go func() { _, _ = caught.send(t, http3.MethodGet0RTT) }()
		attacker, err := net.Dial("udp", secure)
		if err != nil {
			t.Fatal(err)
		}
		defer attacker.Close()
		eventually(t, "early data of an attacker is refused", func() bool {
			for len(packets) > 0 {
				if _, err := attacker.Write(<-packets); err != nil {
					t.Fatal(err)
				}
			}
			return early() == float64(n)
		})
		caught.close()
	}
	s.settled("demo")
	app.none()
}

// An http3Client has one connection, whose packets can be caught.
type http3Client struct {
	*http3.Transport
	packets *caughtPackets
	quic    *quic.Transport
	url     string

	mu   sync.Mutex
	conn *quic.Conn
}

func dialHTTP3(t *testing.T, addr string, session *tls.Config) *http3Client {
	t.Helper()
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	to, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	packets := &caughtPackets{PacketConn: socket}
	c := &http3Client{packets: packets, quic: &quic.Transport{Conn: packets}, url: "https://example.com" + addr[strings.LastIndex(addr, ":"):]}
	c.Transport = &http3.Transport{
		TLSClientConfig: session,
		Dial: func(ctx context.Context, _ string, tls *tls.Config, config *quic.Config) (*quic.Conn, error) {
			conn, err := c.quic.DialEarly(ctx, to, tls, config)
			c.mu.Lock()
			defer c.mu.Unlock()
			c.conn = conn
			return conn, err
		},
	}
	t.Cleanup(func() { c.close(); socket.Close() })
	return c
}

// send sends a webhook, and returns its status.
func (c *http3Client) send(t *testing.T, method string) (int, error) {
	r, err := http.NewRequestWithContext(t.Context(), method, c.url, nil)
	if err != nil {
		return 0, err
	}
	r.Header.Set("X-Webhook-Token", "secret-token")
	resp, err := c.RoundTrip(r)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

func (c *http3Client) used0RTT() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn != nil && c.conn.ConnectionState().Used0RTT
}

func (c *http3Client) close() {
	_ = c.Transport.Close()
	_ = c.quic.Close()
}

// caughtPackets are a socket of which what is received can be held back, and what is
// sent can be caught.
type caughtPackets struct {
	net.PacketConn

	mu     sync.Mutex
	caught chan []byte   // what is sent; nil if it goes out
	held   chan struct{} // closed when packets are received again; nil if they are
}

func (p *caughtPackets) WriteTo(packet []byte, to net.Addr) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.caught == nil {
		return p.PacketConn.WriteTo(packet, to)
	}
	select {
	case p.caught <- slices.Clone(packet):
	default: // enough
	}
	return len(packet), nil
}

func (p *caughtPackets) ReadFrom(packet []byte) (int, net.Addr, error) {
	n, from, err := p.PacketConn.ReadFrom(packet)
	p.mu.Lock()
	held := p.held
	p.mu.Unlock()
	if held != nil {
		<-held
	}
	return n, from, err
}

// hold holds back what is received, until release is called.
func (p *caughtPackets) hold() (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	held := make(chan struct{})
	p.held = held
	return sync.OnceFunc(func() { close(held) })
}

// catch catches what is sent from now on, which nobody else gets.
func (p *caughtPackets) catch() <-chan []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.caught = make(chan []byte, 100)
	return p.caught
}
