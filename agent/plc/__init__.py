"""What a PLC or a SCADA system reads: signals by Modbus TCP and OPC UA, from committed results."""
