"""Becomes nginx with a small reply on keep-alive connections: PORT FOLDER."""

import os
import sys
from pathlib import Path

port, folder = sys.argv[1], Path(sys.argv[2])
(folder / "nginx.conf").write_text(
    f"""
worker_processes 2;
worker_rlimit_nofile 20000;
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 15000; }}
http {{
  access_log off;
  keepalive_timeout 3600s;
  keepalive_requests 1000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ return 200 "ok"; }}
  }}
}}
""",
    encoding="utf-8",
)
os.execvp("nginx", ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")])
