// Prints a document: as drbd.conf in the layout of drbdadm 8.4 or 8.3, and as XML.
#pragma once

#include <string>

#include "agent/config/tree.hpp"

namespace lockstep::config {

// "# /etc/drbd.conf", global {} and common {}. `always_global` prints global {} even if it holds
// defaults only (drbdadm -v dump).
std::string dump_header(const document& doc, bool always_global);
std::string dump_resource(const resource& owner, const std::string& node_name);

// The layout of 8.3: protocol outside of net {}, syncer {}.
std::string dump_header_83(const document& doc);
std::string dump_resource_83(const resource& owner, const std::string& node_name);

std::string dump_xml_header(const document& doc);
std::string dump_xml_resource(const resource& owner);
std::string dump_xml_footer();

} // namespace lockstep::config
