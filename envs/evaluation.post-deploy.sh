#!/usr/bin/env bash
set -euo pipefail
# without what they declare and we replace: see requirements-nodeps.txt
pip install --no-deps encodec==0.1.1 Resemblyzer==0.1.4 vocos==0.1.0
