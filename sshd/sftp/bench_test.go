package sftp

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"testing"
	"testing/fstest"

	"github.com/pkg/sftp"

	"bundleup/vfs"
)

// bare serves without the filter and the order that it brings, for comparison.
func bare(s *session, ch io.ReadWriteCloser) error {
	h := s.handlers()
	h.FilePut = sink{}
	return sftp.NewRequestServer(ch, h, sftp.WithRSMaxTxPacket(maxData)).Serve()
}

// sink takes writes in any order.
type sink struct{}

func (sink) Filewrite(*sftp.Request) (io.WriterAt, error) { return sink{}, nil }
func (sink) WriteAt(p []byte, _ int64) (int, error)       { return len(p), nil }

func filtered(s *session, ch io.ReadWriteCloser) error {
	return s.serve(ch, Options{MaxHandles: defaultMaxHandles})
}

// benchmark runs transfer, which moves size bytes, against both servers. The
// client is a plain pump, so that the server's cost shows.
func benchmark(b *testing.B, size int64, transfer func(conn net.Conn) error) {
	for name, serve := range map[string]func(*session, io.ReadWriteCloser) error{"bare": bare, "filtered": filtered} {
		b.Run(name, func(b *testing.B) {
			view := newFakeView()
			view.files["f"] = &fstest.MapFile{Data: make([]byte, size)}
			conn, server := loopback(b)
			s := newSession(context.Background(), view, io.Discard, slog.New(slog.DiscardHandler))
			s.create = func(context.Context, string, vfs.Flags) (upload, error) {
				return &fakeUpload{discard: true}, nil
			}
			go serve(s, server)
			conn.Write(newFrame(typeInit, 3).done())
			skip(conn)
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				if err := transfer(conn); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// skip reads one reply.
func skip(r io.Reader) (kind byte, err error) {
	head := make([]byte, 5)
	if _, err = io.ReadFull(r, head); err != nil {
		return 0, err
	}
	n := int64(head[0])<<24 | int64(head[1])<<16 | int64(head[2])<<8 | int64(head[3])
	_, err = io.CopyN(io.Discard, r, n-1)
	return head[4], err
}

// pump keeps depth requests in flight.
func pump(conn net.Conn, requests, depth int, request func(i int) []byte) error {
	tokens := make(chan struct{}, depth)
	done := make(chan error, 1)
	go func() {
		for range requests {
			if _, err := skip(conn); err != nil {
				done <- err
				return
			}
			<-tokens
		}
		done <- nil
	}()
	for i := range requests {
		tokens <- struct{}{}
		if _, err := conn.Write(request(i)); err != nil {
			return err
		}
	}
	return <-done
}

const benchSize = 64 << 20

func benchmarkUpload(b *testing.B, block int) {
	data := string(bytes.Repeat([]byte("x"), block))
	benchmark(b, benchSize, func(conn net.Conn) error {
		conn.Write(openFrame(1, "/x.tgz", flagsPut).done())
		h, err := readHandle(conn)
		if err != nil {
			return err
		}
		f := writeFrame(1, h, 0, data)
		err = pump(conn, benchSize/block, 64, func(i int) []byte {
			off := f[4+1+4+4+len(h):]
			copy(off, frame(nil).uint64(uint64(i*block)))
			return f.done()
		})
		if err != nil {
			return err
		}
		conn.Write(pathFrame(typeClose, 1, h).done())
		_, err = skip(conn)
		return err
	})
}

func readHandle(conn net.Conn) (string, error) {
	b := make([]byte, 64)
	n, err := conn.Read(b)
	c := cursor{b: b[min(9, n):n]}
	return c.string(), err
}

func BenchmarkUpload32K(b *testing.B)  { benchmarkUpload(b, 32<<10) }
func BenchmarkUpload4K(b *testing.B)   { benchmarkUpload(b, 4<<10) }
func BenchmarkUpload255K(b *testing.B) { benchmarkUpload(b, maxData) }

func benchmarkDownload(b *testing.B, block int) {
	benchmark(b, benchSize, func(conn net.Conn) error {
		conn.Write(openFrame(1, "/f", openRead).done())
		h, err := readHandle(conn)
		if err != nil {
			return err
		}
		err = pump(conn, benchSize/block, 64, func(i int) []byte {
			return readFrame(1, h, uint64(i*block), uint32(block)).done()
		})
		if err != nil {
			return err
		}
		conn.Write(pathFrame(typeClose, 1, h).done())
		_, err = skip(conn)
		return err
	})
}

func BenchmarkDownload32K(b *testing.B)  { benchmarkDownload(b, 32<<10) }
func BenchmarkDownload255K(b *testing.B) { benchmarkDownload(b, maxData) }

// BenchmarkStat asks one question after the other with nothing open, as a client
// does that looks around: the filtered server rests between two.
func BenchmarkStat(b *testing.B) {
	benchmark(b, 1<<10, func(conn net.Conn) error {
		return pump(conn, 100, 1, func(int) []byte { return pathFrame(typeLstat, 1, "/f").done() })
	})
}
